"""Static files as an installation serves them: named by their content, compressed, cached for good."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Also the imports between our JavaScript modules name the hashed files.

    Otherwise a browser could mix modules of two versions after an upgrade.
    """

    support_js_module_import_aggregation = True
