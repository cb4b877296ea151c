"""What the panel costs over the physical limit, measured side by side in one run: `make bench`."""
