"""The program `glmedsa`: its commands, its exit codes, its one-sentence errors."""

import io
import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from napari_glmedsa import __version__
from napari_glmedsa.cli.benchmark import benchmark
from napari_glmedsa.cli.demo import demo
from napari_glmedsa.cli.doctor import doctor
from napari_glmedsa.cli.evaluate import evaluate
from napari_glmedsa.cli.export import export
from napari_glmedsa.cli.measure import measure
from napari_glmedsa.cli.models import models
from napari_glmedsa.cli.predict import predict
from napari_glmedsa.cli.project import project
from napari_glmedsa.cli.terminal import complain
from napari_glmedsa.cli.train import train
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.waiting import wait_without_spinning

# Typer took click in, so the parent of its errors has no name that lasts; the parent
# of the one error that is public always is it.
_CommandLineError: Any = typer.BadParameter.__base__

USERS_MISTAKE = 2
INTERRUPTED = 130

app = typer.Typer(
    name="glmedsa",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, predict, measure, evaluate, export, train, doctor):
    app.command(no_args_is_help=command not in (demo, doctor))(command)
app.add_typer(project)
app.add_typer(models)
app.add_typer(benchmark)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"glmedsa {__version__}")
        raise typer.Exit


@app.callback()
def _glmedsa(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print it."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on stderr what is going on.")
    ] = False,
) -> None:
    """Click a skin lesion in a dermoscopy photograph and get its mask.

    Research software, not a medical device.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    A user's mistake ends in one sentence on stderr and code 2; only a mistake of
    ours shows a traceback.
    """
    try:
        code = app(list(arguments), prog_name="glmedsa", standalone_mode=False)
    except GLMedSAError as error:
        complain(str(error))
        return USERS_MISTAKE
    except OSError as error:
        # The computer's refusal, not our mistake: no permission, no room, no such name.
        where = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or str(error)
        complain(f"{where}{reason}; check permissions, free space and the path.")
        return USERS_MISTAKE
    except _CommandLineError as error:
        if sentence := error.format_message():
            command = error.ctx.command_path if error.ctx else "glmedsa"
            complain(f"{sentence.rstrip('.')}; {command} --help tells more.")
        return USERS_MISTAKE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the program with the process's arguments and exit."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal cannot show must not stop the work.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    wait_without_spinning()  # the commands import PyTorch when they need it
    sys.exit(run(sys.argv[1:]))
