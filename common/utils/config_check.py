"""Find the mistakes in a bundle's configuration before anything is built from it, and say what was probably meant."""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from types import ModuleType
from typing import Any

from monai.bundle import ConfigComponent, ConfigParser, ReferenceResolver
from monai.bundle.properties import InferProperties, TrainProperties
from monai.utils import BundlePropertyConfig

from common.utils.messages import PlainError, did_you_mean, print_causes_last
from common.utils.workflow import given_overrides, on_command_line, running_parser, running_workflow

__all__ = ["CheckConfig", "check_config", "check_overrides", "declared_ids", "resolved_config", "walk"]

#: Ids that MONAI, its applications or a person on the command line look up by name: nothing in a config refers to them.
WORKFLOW_IDS = frozenset(
    {str(p[BundlePropertyConfig.ID]).split("::")[0] for p in (*TrainProperties.values(), *InferProperties.values())}
    | {"imports", "initialize", "run", "finalize", "training", "evaluating", "predicting", "explaining", "_meta_"}
    | {"displayable_configs", "save_execute_config", "tracking_uri", "experiment_name", "run_name"}
)

#: Words that a command line hands on as text although a value is meant, and how that value is typed.
MEANT = {"true": "True", "yes": "True", "on": "True", "false": "False", "no": "False", "off": "False"}
MEANT |= {"null": "'$None'", "none": "'$None'"}


class CheckConfig:
    """Refuse a configuration with unknown names; stands first in a config's ``initialize`` list.

    Sees the configuration as it will run: after overlays and the overrides of the command line.

    Args:
        allow: top-level ids that may stand in the config although nothing refers to them.

    Raises:
        PlainError: listing every problem found by :func:`check_overrides` and :func:`check_config`.
    """

    def __init__(self, allow: Sequence[str] = ()) -> None:
        if on_command_line():
            print_causes_last()
        workflow = running_workflow()
        run_ids = [] if workflow is None else [workflow.init_id, workflow.run_id, workflow.final_id]
        parser = running_parser()
        problems = [*check_overrides(given_overrides(), parser), *check_config(parser, (*allow, *run_ids))]
        if problems:
            count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
            raise PlainError("\n".join([f"the configuration has {count}, nothing was run", *problems]))


def check_config(parser: ConfigParser, allow: Iterable[str] = ()) -> list[str]:
    """List the mistakes in a configuration without building anything from it.

    Looked for are references to ids that do not exist, top-level ids that nothing refers to (a misspelt override makes
    one), ``_target_`` names that cannot be imported, and arguments that their target does not take.

    Args:
        parser: holds the configuration, overlays and overrides included; it is not changed.
        allow: top-level ids that may stand there although nothing refers to them.

    Returns:
        One sentence per problem, naming the id and, where something is close, what was probably meant.
    """
    checked = ConfigParser(deepcopy(parser.config))
    checked.resolve_macro_and_relative_ids()
    items = [(i, item) for i, item in walk(checked.config) if not i.startswith(f"{ConfigParser.meta_key}::")]
    problems = [p for i, item in items for p in _missing_references(checked, i, item)]
    problems += _unused_ids(checked.get(), items, WORKFLOW_IDS.union(allow))
    for i, item in items:
        if ConfigComponent.is_instantiable(item) and isinstance(item["_target_"], str):
            problems += _component_problems(checked, i, item)
    return problems


def check_overrides(overrides: Mapping[str, Any], parser: ConfigParser) -> list[str]:
    """List the overrides that would not do what they say.

    The command line gives ``false`` on as text, and a text counts as true. MONAI ignores an override that is None, the
    misspelt id in front of it included.

    Args:
        overrides: ids and values as they were given.
        parser: holds the configuration.

    Returns:
        One sentence per problem with what to type instead.
    """
    problems = []
    for name, value in overrides.items():
        if value is None:
            absent = "" if name in parser else f"; the configuration has no such id{_close_id(parser, name)}"
            problems.append(f"{name}: MONAI ignores an option that is None; for nothing type '$None'{absent}")
        elif isinstance(value, str) and value.lower() in MEANT:
            word = f"'$\"{value}\"'"
            problems.append(
                f"{name}: '{value}' is only a text here; type {MEANT[value.lower()]}, or {word} for the word"
            )
    return problems


def declared_ids(parser: ConfigParser) -> list[str]:
    """Collect what the configuration's own ``CheckConfig`` items allow to stand unreferenced."""
    items = (item for _, item in walk(parser.config) if ConfigComponent.is_instantiable(item))
    return [i for item in items if str(item["_target_"]).endswith(".CheckConfig") for i in item.get("allow", [])]


def resolved_config(parser: ConfigParser) -> dict[str, Any]:
    """Copy a configuration after overlays and overrides, in a form that JSON can hold and MONAI can run again.

    Args:
        parser: holds the configuration.

    Returns:
        Its content without the metadata; expressions stay expressions, what JSON cannot hold becomes its text.
    """
    content = {key: value for key, value in parser.get().items() if key != ConfigParser.meta_key}
    copied: dict[str, Any] = json.loads(json.dumps(content, default=str))
    return copied


def walk(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every (id, content) below ``config``, parents first."""
    if isinstance(config, dict | list):
        for _, sub_id, content in ReferenceResolver.iter_subconfigs(prefix, config):
            yield sub_id, content
            yield from walk(content, sub_id)


def _references(item: Any) -> list[str]:
    return [r for r in ReferenceResolver.match_refs_pattern(item) if r] if isinstance(item, str) else []


def _missing_references(parser: ConfigParser, item_id: str, item: Any) -> Iterator[str]:
    for reference in _references(item):
        if reference in parser:
            continue
        yield f"{item_id}: '@{reference}' refers to an id that does not exist{_close_id(parser, reference)}"


def _close_id(parser: ConfigParser, absent: str) -> str:
    """Suggest what was meant by an id that does not exist: a sibling of its first part that leads nowhere."""
    parent, _, name = ReferenceResolver.normalize_id(absent).rpartition("::")
    while parent and parent not in parser:
        parent, _, name = parent.rpartition("::")
    siblings = parser[parent] if parent else parser.config
    return did_you_mean(name, siblings) if isinstance(siblings, dict) else ""


def _unused_ids(config: dict[str, Any], items: list[tuple[str, Any]], known: Iterable[str]) -> Iterator[str]:
    used = {r.split("::")[0] for i, item in items for r in _references(item) if r.split("::")[0] != i.split("::")[0]}
    others = used.union(known)
    for name in config:
        if name not in others and not name.startswith("_"):
            hint = did_you_mean(name, others) or "; remove it, or list it under 'allow' of CheckConfig"
            yield f"{name}: nothing in the configuration uses this id{hint}"


def _component_problems(parser: ConfigParser, item_id: str, item: dict[str, Any]) -> Iterator[str]:
    name: str = item["_target_"]
    if name.startswith(("$", "@")):
        return
    module = parser.locator.get_component_module_name(name)
    path = f"{module[0] if isinstance(module, list) else module}.{name}" if module else name
    target, problem = _locate(path, parser)
    if problem:
        yield f"{item_id}: _target_ '{name}' {problem}"
    elif callable(target):
        arguments = {k: v for k, v in item.items() if k not in ConfigComponent.non_arg_keys}
        yield from (f"{item_id}: {name} {p}" for p in _argument_problems(target, arguments, item.get("_mode_")))


def _locate(path: str, parser: ConfigParser) -> tuple[Any, str]:
    """Import what a dotted name stands for; return it, or what is wrong with the name."""
    found: Any = None
    done: list[str] = []
    for part in path.split("."):
        here = ".".join([*done, part])
        if found is not None and hasattr(found, part):
            found = getattr(found, part)
        elif found is None or isinstance(found, ModuleType):
            try:
                found = import_module(here)
            except ModuleNotFoundError as error:
                if error.name != here:
                    return None, f"needs a module that is not installed: {error.name}"
                return None, _not_found(found, done, part, parser)
            except ImportError as error:
                return None, f"cannot be imported: {error}"
        else:
            return None, _not_found(found, done, part, parser)
        done.append(part)
    return found, ""


def _not_found(found: Any, done: list[str], part: str, parser: ConfigParser) -> str:
    if found is None:
        # a bare name is MONAI's; the table of its components was filled by looking the name up
        return f"cannot be found{did_you_mean(part, parser.locator._components_table or ())}"
    where = ".".join(done)
    options = [n for n in dir(found) if not n.startswith("_")]
    return f"cannot be found: {where} has no '{part}'{did_you_mean(part, options)}"


def _argument_problems(target: Callable[..., Any], arguments: dict[str, Any], mode: Any) -> Iterator[str]:
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):  # some compiled callables do not tell
        return
    parameters = signature.parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in arguments:
            if name not in named and name != "_debug_":
                yield f"takes no argument '{name}'{did_you_mean(name, named)} (it takes {', '.join(named) or 'none'})"
    if mode in (None, "default"):
        needed = [p.name for p in parameters if p.default is p.empty and p.name in named and p.name not in arguments]
        if needed:
            yield f"needs the argument{'s' if len(needed) > 1 else ''} {', '.join(map(repr, needed))}"
