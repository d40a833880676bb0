"""Configuration of a person's notebook server, which meesh.start hands to it."""

import os
import sqlite3

from jupyter_core.paths import jupyter_data_dir
from nbformat.sign import SQLiteSignatureStore


class Signatures(SQLiteSignatureStore):
    """Knows the outputs that a person has made. On a full disk it knows none, and notebooks can still be read."""

    def check_signature(self, digest, algorithm):
        try:
            return super().check_signature(digest, algorithm)
        except sqlite3.OperationalError:  # it also notes when it was asked
            self.db.rollback()
            return False

    def store_signature(self, digest, algorithm):
        try:
            super().store_signature(digest, algorithm)
        except sqlite3.OperationalError:  # the notebook is written next, and says that there is no room
            self.db.rollback()


c = get_config()  # noqa: F821 traitlets defines it
c.NotebookNotary.store_factory = lambda: Signatures(os.path.join(jupyter_data_dir(), "nbsignatures.db"))
