"""Tokens that people made with `twin token add`: names, roles and hashes in the data folder, never the tokens.

Read when the twin starts; a running twin does not see later additions.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from twin.errors import Conflict, CorruptStore, InvalidInput, NotFound, StoreUnavailable
from twin_app.access import Role, digest_of
from twin_app.settings import TokenSettings

if TYPE_CHECKING:
    from pathlib import Path

_LIST = TypeAdapter(tuple[TokenSettings, ...])
LONGEST_NAME = 64


class TokenFile:
    """The file `tokens.json` of a data folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens.json"

    def read(self) -> tuple[TokenSettings, ...]:
        """Return the accepted tokens; none when there is no file.

        Raises:
            CorruptStore: The file is not ours.
        """
        try:
            return _LIST.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return ()
        except (ValidationError, OSError) as exc:
            raise CorruptStore(
                f"`{self.path}` cannot be read; mend it, or delete it (then nobody has a token any more)"
            ) from exc

    def add(self, name: str, role: Role) -> str:
        """Make a token, keep its hash and return it: it is never shown again.

        Raises:
            InvalidInput: No such name. Conflict: The name has a token. StoreUnavailable: The file cannot be written.
        """
        if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
            raise InvalidInput(f"`{name[:80]}` is no name for a token; use 1 to {LONGEST_NAME} printable characters")
        tokens = self.read()
        if any(token.name == name for token in tokens):
            raise Conflict(f"`{name}` has a token already; remove it first with `twin token remove {name}`")
        secret = secrets.token_urlsafe(32)
        self._write((*tokens, TokenSettings(name=name, role=role, sha256=digest_of(secret))))
        return secret

    def remove(self, name: str) -> None:
        """Forget a token.

        Raises:
            NotFound: No token has this name.
        """
        tokens = self.read()
        kept = tuple(token for token in tokens if token.name != name)
        if len(kept) == len(tokens):
            raise NotFound(f"no token is called `{name}`; known: {', '.join(t.name for t in tokens) or 'none'}")
        self._write(kept)

    def _write(self, tokens: tuple[TokenSettings, ...]) -> None:
        text = json.dumps([token.model_dump(mode="json") for token in tokens], indent=2) + "\n"
        temporary = ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".tokens-")  # readable by its owner only
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)  # noqa: PTH105 - Path.replace is the same; this reads as what it is
        except OSError as exc:
            if temporary:
                with suppress(OSError):
                    os.unlink(temporary)  # noqa: PTH108
            raise StoreUnavailable(f"`{self.path}` cannot be written: {exc.strerror}") from exc
