"""Texts with variables in them, as `"$remote_addr:${remote_port}"`.

`parse` splits a text once, when the configuration is read; `compile_template` turns the result
into a function of a session, once per worker and configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Variable:
    """A `$name` inside a template; the name stands without its dollar, in small letters."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and variables, in order; a template without variables is `constant`."""

    parts: tuple[str | Variable, ...]

    @property
    def constant(self) -> str | None:
        """The text of a template that holds no variable, else None."""
        if any(isinstance(part, Variable) for part in self.parts):
            return None
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def single(self) -> str | None:
        """The name of the variable that a template is, where it is nothing else."""
        part = self.parts[0]
        return part.name if len(self.parts) == 1 and isinstance(part, Variable) else None

    def __str__(self) -> str:
        """The text as a configuration may write it."""
        text = ""
        for part, after in zip(self.parts, (*self.parts[1:], ""), strict=True):
            if isinstance(part, str):
                text += part
            elif isinstance(after, str) and after[:1] in NAME and part.name not in DIGITS:
                text += f"${{{part.name}}}"
            else:
                text += f"${part.name}"
        return text


class TemplateError(ValueError):
    """A text that is no template; `offset` is where, in characters."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


# The names of what groups of regular expressions matched.
DIGITS = frozenset("123456789")
NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def parse(text: str, *, captures: bool = True) -> Template:
    """Split `text` at its `$name` and `${name}`; raises TemplateError on a lone or unclosed `$`.

    Names are the same in capital and in small letters, as nginx has it. With `captures` a digit
    behind `$` is a name of its own: `$1st` is what group 1 of a regular expression matched, and
    "st". In braces digits are no captures.
    """
    parts: list[str | Variable] = []
    literal_from = position = 0
    while (dollar := text.find("$", position)) >= 0:
        braced = text.startswith("{", dollar + 1)
        start = end = dollar + (2 if braced else 1)
        if captures and text[end : end + 1] in DIGITS and not braced:
            end += 1
        else:
            end = _name_end(text, end)
        if braced and not text.startswith("}", end):
            raise TemplateError(
                f'the closing bracket in "{text[start:end]}" variable is missing', dollar
            )
        if start == end:
            raise TemplateError("invalid variable name", dollar)
        if text[start:end] in DIGITS and (braced or not captures):
            raise TemplateError(f'unknown "{text[start:end]}" variable', dollar)
        if dollar > literal_from:
            parts.append(text[literal_from:dollar])
        parts.append(Variable(text[start:end].lower()))
        literal_from = position = end + (1 if braced else 0)
    if literal_from < len(text) or not parts:
        parts.append(text[literal_from:])
    return Template(tuple(parts))


def _name_end(text: str, at: int) -> int:
    while at < len(text) and text[at] in NAME:
        at += 1
    return at


def compile_template(
    template: Template, getters: Mapping[str, Callable[[T], str | None]]
) -> Callable[[T], str]:
    """A function that gives the template's text for a session; "not found" (None) gives nothing.

    A name unknown to `getters` raises KeyError.
    """
    constant = template.constant
    if constant is not None:
        return lambda _session: constant
    if len(template.parts) == 1 and isinstance(template.parts[0], Variable):
        getter = getters[template.parts[0].name]
        return lambda session: getter(session) or ""
    steps = [getters[part.name] if isinstance(part, Variable) else part for part in template.parts]
    return lambda session: "".join(
        [step if isinstance(step, str) else step(session) or "" for step in steps]
    )


def names(template: Template) -> set[str]:
    """The variables that a template reads."""
    return {part.name for part in template.parts if isinstance(part, Variable)}
