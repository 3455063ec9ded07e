"""Where files lie: which files match a pattern, and their bytes.

A pattern is a path with ``{batch}`` at most once and ``*`` or ``?`` anywhere in it, each within one
name. Names that begin with a dot are not seen, because half-written files have such names.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from tasks.addresses import AddressError, s3_file_system, without_account
from tasks.ingest.source import SourceError
from tasks.lake import write_whole


@dataclass(frozen=True)
class File:
    """One file as it is now."""

    path: str
    size: int | None
    """In bytes; None where the store does not say."""
    changed: int | str
    """What the store says that changes with the content: a moment, a digest, or several such."""

    @property
    def fingerprint(self) -> str:
        """A cheap sign of change: name, size and time of modification."""
        name = self.path.rpartition("/")[2]
        return hashlib.sha256(f"{name}:{self.size}:{self.changed}".encode()).hexdigest()[:16]


class Store(Protocol):
    """A place with directories and files."""

    def entries(self, directory: str) -> Iterator[tuple[str, bool]]:
        """Give name and whether it is a directory, in any order; FileNotFoundError when there is no
        such directory.
        """

    def file(self, path: str) -> File:
        """Return the file as it is now; FileNotFoundError when there is none."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the file for reading, anywhere in it; OSError when it cannot be had."""


class LocalStore:
    """The disks of this machine."""

    def entries(self, directory: str) -> Iterator[tuple[str, bool]]:
        """Give name and whether it is a directory."""
        for path in Path(directory).iterdir():
            yield path.name, path.is_dir()

    def file(self, path: str) -> File:
        """Return the file as it is now."""
        status = Path(path).stat()
        return File(path, status.st_size, status.st_mtime_ns)

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the file."""
        return Path(path).open("rb")


class S3Store:
    """A service that speaks S3; account and region come from the environment (``AWS_*``), or
    ``options`` name the account.

    S3 tells the time of a change to the second: an object that is replaced by one of the same size
    within one second is seen as unchanged until it changes again.
    """

    def __init__(self, endpoint: str, options: Mapping[str, str]) -> None:
        try:
            self._files = s3_file_system(endpoint, options)
        except AddressError as error:
            raise SourceError(str(error)) from None

    def entries(self, directory: str) -> Iterator[tuple[str, bool]]:
        """Give name and whether it is a directory: what stands before a slash in the keys below."""
        from pyarrow.fs import FileSelector, FileType

        with _account_hidden():
            found = self._files.get_file_info(FileSelector(_key(directory)))
        for info in found:
            yield info.base_name, info.type == FileType.Directory

    def file(self, path: str) -> File:
        """Return the object as it is now."""
        from pyarrow.fs import FileType

        with _account_hidden():
            info = self._files.get_file_info(_key(path))
        if info.type != FileType.File:
            raise FileNotFoundError("no such object")
        return File(path, info.size, info.mtime_ns)

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Open the object; what is read of it is fetched then."""
        with _account_hidden(), self._files.open_input_file(_key(path)) as stream:
            yield stream


def _key(address: str) -> str:
    return address.removeprefix("s3://")


@contextmanager
def _account_hidden() -> Iterator[None]:
    """Keep the account out of errors: a service may quote the key that it was shown."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError("no such bucket or key") from None
    except OSError as error:
        raise OSError(without_account(error)) from None


class UrlStore:
    """Any other place that fsspec can open: ``gs``, ``abfs``, ``sftp``, ``https`` and many more,
    each with its own package.

    Accounts come from the environment, as each of them has it (``GOOGLE_APPLICATION_CREDENTIALS``,
    ``FSSPEC_ABFS_...``), or from ``options``. What a store says of a file's age or content is its
    fingerprint; one that says nothing is told by size.
    """

    def __init__(self, scheme: str, options: Mapping[str, str]) -> None:
        import fsspec

        try:
            self._files = fsspec.filesystem(
                scheme, skip_instance_cache=True, use_listings_cache=False, **options
            )
        except (ValueError, ImportError, TypeError) as error:
            raise SourceError(
                f"{scheme}://: expected an address that fsspec can open here, found:"
                f" {without_account(error)}"
            ) from None

    def entries(self, directory: str) -> Iterator[tuple[str, bool]]:
        """Give name and whether it is a directory."""
        with _as_os_error():
            found = self._files.ls(directory, detail=True)
        for info in found:
            yield info["name"].rstrip("/").rpartition("/")[2], info["type"] == "directory"

    def file(self, path: str) -> File:
        """Return the file as it is now."""
        with _as_os_error():
            info = self._files.info(path)
        return File(
            path, info.get("size"), " ".join(str(info[sign]) for sign in _SIGNS if info.get(sign))
        )

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Fetch the file to the disk, and open it there: not every place can be read twice or from
        the middle.
        """
        with tempfile.NamedTemporaryFile() as local:
            with _as_os_error():
                self._files.get_file(path, local.name)
            with Path(local.name).open("rb") as stream:
                yield stream


_SIGNS = (
    "mtime",
    "modified",
    "updated",
    "last_modified",
    "LastModified",
    "Last-Modified",
    "created",
    "etag",
    "ETag",
    "md5",
    "md5Hash",
    "content_md5",
    "Content-MD5",
    "generation",
    "checksum",
)
"""What the file systems of fsspec call that which changes with a file."""


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Each file system has errors of its own, some of which quote the account."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError("no such file or directory") from None
    except Exception as error:  # noqa: BLE001 - see above
        raise OSError(without_account(error)) from None


def open_store(address: str, endpoint: str, options: Mapping[str, str]) -> Store:
    """Return the store in which ``address`` lies; SourceError when nothing can open it, with what
    to install.
    """
    scheme = address.partition("://")[0]
    return S3Store(endpoint, options) if scheme == "s3" else UrlStore(scheme, options)


def look_at(store: Store, path: str) -> File:
    """Return the file as it is now; SourceError when it has gone since it was found."""
    try:
        return store.file(path)
    except OSError as error:
        raise SourceError(
            f"{path}: the file went away while it was looked at; it is looked for again at the"
            " next run"
        ) from error


def below(pattern: str, path: str) -> str:
    """Return the path of a file that a pattern found, from the directory on that the pattern looks
    in: it stays the same when all of it moves elsewhere.
    """
    place = re.split(r"[{*?]", pattern, maxsplit=1)[0].rpartition("/")[0]
    return path.removeprefix(place).lstrip("/")


@contextmanager
def opened(store: Store, path: str) -> Iterator[BinaryIO]:
    """Open the file for reading; SourceError when it cannot be had, or changes while it is read."""
    try:
        before = store.file(path)
        with store.open(path) as stream:
            try:
                yield cast("BinaryIO", _Guarded(stream, path))
            except SourceError as error:
                if store.file(path) != before:
                    raise _changed(path) from error
                raise
        if store.file(path) != before:
            raise _changed(path)
    except OSError as error:
        raise _out_of_reach(path, error) from error


class _Guarded(io.RawIOBase):
    """The file, whose own errors are told from those of what stands in it."""

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self._stream, self._path = stream, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._stream.seek(offset, whence)
        return self._stream.tell()

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read() if size < 0 else self._stream.read(size)
        except OSError as error:
            raise _out_of_reach(self._path, error) from error


def _changed(path: str) -> SourceError:
    return SourceError(
        f"{path}: the file changed while it was read; it will be read again at the next run"
    )


def _out_of_reach(path: str, error: OSError) -> SourceError:
    reason = " ".join(str(error.strerror or error).split())[:300]
    return SourceError(
        f"{path}: cannot be read: {reason}; have it delivered again, or allow it to be read"
    )


def read_whole(store: Store, path: str) -> bytes:
    """Return the bytes of the file; SourceError when they cannot be had, or change while they are
    read.
    """
    with opened(store, path) as stream:
        return stream.read()


def keep(store: Store, paths: Iterable[str], directory: Path) -> Path:
    """Copy the files, byte for byte, to ``directory``, which is returned; once for each content.

    The name of a copy begins with a digest of its content. Raises SourceError when a file cannot be
    had, or changes meanwhile, and DiskFullError.
    """
    for path in paths:
        with opened(store, path) as stream:
            digest = hashlib.sha256()
            for piece in _pieces(stream):
                digest.update(piece)
            file = directory / f"{digest.hexdigest()[:16]}-{path.rpartition('/')[2]}"
            if not file.exists():
                write_whole(file, _pieces(stream))
    return directory


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    """The file from its beginning."""
    stream.seek(0)
    while piece := stream.read(2**20):
        yield piece


def find(store: Store, pattern: str, batch: str) -> list[tuple[str, str]]:
    """Return pairs of path and batch id for the files that match, in the order of their paths.

    ``batch`` is the regular expression of a batch's id; the id is empty where the pattern has no
    ``{batch}``. Raises SourceError when the directory before the first ``{batch}`` or ``*`` is not
    there.
    """
    names = pattern.split("/")
    fixed = next((i for i, name in enumerate(names) if is_open(name)), len(names) - 1)
    base = "/".join(names[:fixed]) or "/"
    try:
        found = list(_walk(store, base, names[fixed:], batch))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceError(
            f"{base}: no such directory; the contract's server says that the data is there"
        ) from error
    except OSError as error:
        reason = " ".join(str(error).split())[:300]
        raise SourceError(
            f"{base}: cannot be looked into: {reason}; is it up, and may it be read?"
        ) from error
    return sorted(found)


def is_open(name: str) -> bool:
    """Whether a name of a pattern stands for more than one file or directory."""
    return "{batch}" in name or "*" in name or "?" in name


def _walk(store: Store, directory: str, names: list[str], batch: str) -> Iterator[tuple[str, str]]:
    pattern = _pattern_of_name(names[0], batch)
    for name, is_directory in sorted(store.entries(directory)):
        match = pattern.fullmatch(name)
        if match is None or is_directory != (len(names) > 1):
            continue
        id, path = match.groupdict().get("batch", ""), f"{directory.rstrip('/')}/{name}"
        if len(names) == 1:
            yield path, id
            continue
        for below, inner in _walk(store, path, names[1:], batch):
            yield below, id or inner


def _pattern_of_name(name: str, batch: str) -> re.Pattern[str]:
    text = (
        re.escape(name)
        .replace(r"\{batch\}", f"(?P<batch>{batch})")
        .replace(r"\*", ".*")
        .replace(r"\?", ".")
    )
    return re.compile(text if name.startswith(".") else rf"(?!\.){text}")
