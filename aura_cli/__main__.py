"""Start of the program: answers `--version` at once and leaves everything else to the application."""

import sys

from aura_cli import __version__


def main() -> None:
    """Run `aura` with the arguments of this process and exit with its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"aura {__version__}\n")
        return
    from aura_cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
