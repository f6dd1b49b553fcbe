"""`twin token ...` and `twin certs ...`: letting others in."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

token_app = typer.Typer(
    help="Tokens: who may come in. The first one makes tokens required for everybody, this machine included.",
    no_args_is_help=True,
)
certs_app = typer.Typer(help="Certificates for TLS.", no_args_is_help=True)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="TWIN_DATA_DIR", help="Data folder; the platform's user data folder by default."),
]


def _folder(data_dir: Path | None) -> Path:
    from twin_app.data_folder import default_path

    return data_dir or default_path()


@token_app.command("add")
def token_add(
    name: Annotated[str, typer.Argument(help="Who or what it is for.")],
    role: Annotated[str, typer.Option("--role", help="student, operator, instructor, admin or scene.")],
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it once; only its hash is kept. A running twin knows it after its next start."""
    from twin_app.access import Role
    from twin_app.token_file import TokenFile

    if role not in list(Role):
        raise typer.BadParameter(f"`{role}` is no role; roles: {', '.join(Role)}")
    file = TokenFile(_folder(data_dir))
    print(file.add(name, Role(role)))
    typer.echo(f"kept in {file.path}; hand it over as TWIN_TOKEN or in Hello, it is not shown again", err=True)


@token_app.command("list")
def token_list(data_dir: DataDir = None) -> None:
    """Show names and roles."""
    from twin_app.token_file import TokenFile

    tokens = TokenFile(_folder(data_dir)).read()
    for token in tokens:
        print(f"{token.name}\t{token.role.value}")
    if not tokens:
        typer.echo("no tokens: the twin listens on this machine only, and its user may do everything", err=True)


@token_app.command("remove")
def token_remove(name: Annotated[str, typer.Argument(help="Whose token.")], data_dir: DataDir = None) -> None:
    """Forget a token; a running twin forgets it at its next start."""
    from twin_app.token_file import TokenFile

    TokenFile(_folder(data_dir)).remove(name)


@certs_app.command("dev")
def certs_dev(
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Host name or address by which clients call this machine; may repeat."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to write; `certs` in the data folder by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace certificates that are there.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Make certificates for a lab: an authority, a server and a client certificate, good for a year."""
    from twin_app.certs import make_dev_certificates

    made = make_dev_certificates(folder or _folder(data_dir) / "certs", names=name or (), force=force)
    # Whole paths: the lines are kept in a profile or another terminal.
    print(f"export TWIN_TLS__CERTIFICATE={shlex.quote(str(made.certificate.resolve()))}")
    print(f"export TWIN_TLS__KEY={shlex.quote(str(made.key.resolve()))}")
    typer.echo(
        f"clients trust {made.ca} (the command line: TWIN_CA={made.ca});\n"
        f"for mutual TLS set TWIN_TLS__CLIENT_CA={made.ca} and give clients {made.client_certificate} and its key",
        err=True,
    )
