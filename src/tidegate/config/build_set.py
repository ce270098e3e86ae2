"""`set $variable VALUE` of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_variables import check_free, define, template, variable_name
from tidegate.config.draft import in_protocol, in_served
from tidegate.config.model import Assignment
from tidegate.variables.computed import Assigned

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope


def set_(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `set $variable VALUE`; another definition holds where no `set` is."""
    word, value = directive.args
    name = variable_name(word)
    check_free(reading, name, word)
    if name not in in_protocol(reading).definitions:
        define(reading, name, word, Assigned(empty=""))
    assignment = Assignment(name=name, value=template(reading, value, directive))
    in_served(reading).assignments.append(assignment)
