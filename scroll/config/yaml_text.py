"""YAML as settings need it: what is not written as its number would be printed stays text, no key stands twice, and aliases stay few."""

from typing import Any

import yaml

MOST_NODES = 100_000


class DoubleKeyError(yaml.YAMLError):
    """A key stands twice in one mapping; YAML would keep the last one without a word."""


class WrittenNumber(str):
    """The text of a number that prints otherwise: `010`, `1_0`, `0x10`, `1.50`, `1e3`. An id is this text, a numeric setting reads it."""

    @property
    def number(self) -> Any:
        """What YAML 1.1 takes it for."""
        return yaml.safe_load(self)


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in first:
                raise DoubleKeyError(
                    f"key '{key.value}' is given twice, on lines {first[key.value]} and {line}; keep one"
                )
            first[key.value] = line
        return node

    def construct_text(self, node: yaml.ScalarNode) -> str:
        return str(self.construct_scalar(node))

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """A number, or its text where the two differ."""
        text = WrittenNumber(node.value)
        try:
            number = self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)
        except ValueError:  # such as a number of 5000 digits
            return str(text)
        return number if text in (str(number), yaml.safe_dump(number).split("\n")[0]) else text


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_text)


def read_yaml(text: str) -> Any:
    """The content of a YAML text.

    >>> read_yaml("train: [010, 1_0, 8, 2023-08-27]")
    {'train': ['010', '1_0', 8, '2023-08-27']}

    Raises:
        DoubleKeyError: a key stands twice in a mapping.
        yaml.YAMLError: no YAML, nested too deeply, or aliases that refer to themselves or multiply beyond 100,000 values.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _values(node, {}) > MOST_NODES:
            raise yaml.YAMLError(f"it stands for more than {MOST_NODES} values; expected settings")
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply for settings") from None
    finally:
        loader.dispose()


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for once its aliases are written out."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    count = known.get(id(node))
    if count == 0:
        raise yaml.YAMLError("an alias refers to what it is part of")
    if count is None:
        known[id(node)] = 0
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(part,) for part in node.value]
        count = known[id(node)] = 1 + sum(_values(part, known) for pair in pairs for part in pair)
    return count


def with_numbers(content: Any) -> Any:
    """`content` with every number that was kept as text read as YAML reads it: for values that have no type of their own."""
    if isinstance(content, WrittenNumber):
        return content.number
    if isinstance(content, dict):
        return {with_numbers(key): with_numbers(value) for key, value in content.items()}
    return [with_numbers(part) for part in content] if isinstance(content, list) else content
