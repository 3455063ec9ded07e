"""The import of Great Expectations, without half of its time: what it imports and rules do not use
comes when asked for.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from types import ModuleType
from typing import Any

_WANTED = "great_expectations.expectations"
_SELDOM_USED = ("scipy.stats", "altair", "boto3")
"""For the Kullback-Leibler expectation, for pages that the house does not make, and for stores that
it does not use.
"""
_LOCK = threading.Lock()


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module holds
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def import_great_expectations() -> None:
    """Import Great Expectations; in a thread of its own it costs little wall time while an SQL
    engine works.

    Whoever asks for the seldom used modules meanwhile, in this thread or another, gets the real
    ones. The collector of cycles sleeps meanwhile, and never again looks at what was imported:
    modules are not garbage, not even when the process ends.
    """
    with _LOCK:
        if _WANTED in sys.modules:
            return
        awake = gc.isenabled()
        gc.disable()
        stand_ins = {name: _Later(name) for name in _SELDOM_USED if name not in sys.modules}
        sys.modules.update(stand_ins)
        try:
            importlib.import_module(_WANTED)
        finally:
            for name, stand_in in stand_ins.items():
                if sys.modules.get(name) is stand_in:
                    del sys.modules[name]
            gc.freeze()
            if awake:
                gc.enable()
