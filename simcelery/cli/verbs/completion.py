"""``completion``: print the script for tab completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from simcelery.cli.options import command

_WHERE = {
    "bash": "~/.local/share/bash-completion/completions/simcelery",
    "zsh": "~/.zfunc/_simcelery",
    "fish": "~/.config/fish/completions/simcelery.fish",
}


@command(
    "completion",
    *(f"simcelery completion {shell} > {path}" for shell, path in _WHERE.items()),
    'eval "$(simcelery completion bash)"      # this shell only',
)
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which your shell completes verbs, options, workflows, parameters and ids.

    Save it under the path shown in the examples, then open a new shell. For zsh also add to ~/.zshrc:
    fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "simcelery", "_SIMCELERY_COMPLETE").source())
