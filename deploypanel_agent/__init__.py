"""deploypanel-agent: waits for firings of named triggers and runs build scripts. Python 3.9 and newer."""

__version__ = "1.0.0"
