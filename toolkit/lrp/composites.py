"""Composites: which rule for which layer. ``COMPOSITES`` names them; one in it can be computed and is tested.

Names and values of ``lrp.*`` are innvestigate 2.1.2's. Departures: the first layer with weights counts as the
first whatever comes before it (innvestigate gives it no rule of its own behind a pool, a padding or a scaling);
constants that scale the input pass relevance on; a ReLU passes it on however it was written.
``epsilon_plus_flat`` is zennit 1.0's EpsilonPlusFlat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from toolkit.errors import ConfigError
from toolkit.lrp import rules
from toolkit.lrp.layers import Layer, Weighted
from toolkit.lrp.rules import Rule

FIRST = 0
RULED_KINDS = ("convolution", "dense", "average_pool", "relu", "scaling")
"""Kinds of layers that have a rule; through all others relevance finds its way by itself."""


@dataclass(frozen=True)
class Condition:
    """Layers that a rule is for: all that is given must hold. Without a kind, layers with weights alone."""

    kind: str | None = None
    """One of ``RULED_KINDS``."""
    position: int | None = None
    """Among layers with weights, from 0 at the input, or from -1 at the output."""
    name: str | None = None
    """Name of the layer, or a part of it between slashes; * stands for any characters."""

    def holds(self, layer: Layer, weighted: Sequence[Layer]) -> bool:
        """Tell whether the rule is for ``layer`` of a network whose layers with weights are ``weighted``."""
        if self.kind is None and not isinstance(layer, Weighted):
            return False
        places = [place for place, each in enumerate(weighted) if each is layer]
        at = {place - shift for place in places for shift in (0, len(weighted))}
        return (
            self.kind in {None, layer.kind}
            and (self.position is None or self.position in at)
            and (self.name is None or any(fnmatchcase(each, self.name) for each in _names(layer)))
        )


def _names(layer: Layer) -> list[str]:
    """Return the name and its parts: exporters write 'network/conv_1/Conv2D' for Keras's conv_1."""
    return [layer.name, *layer.name.split("/")]


Choice = tuple[Condition, Rule]

EVERYWHERE_ELSE: tuple[Choice, ...] = (
    (Condition(kind="relu"), rules.Pass()),
    (Condition(kind="scaling"), rules.Pass()),
    (Condition(kind="average_pool"), rules.Z()),
)
"""Rules of layers without weights, where a composite has none for them; innvestigate's."""


@dataclass(frozen=True)
class Composite:
    """A rule for every layer, what relevance begins with, and what is made of it in the end."""

    name: str
    choices: tuple[Choice, ...]
    """The first whose condition holds counts."""
    seed_is_logit: bool = True
    """Whether the output begins with the value of its logit, or with one."""
    times_input: bool = False
    """Whether what arrives at the input is multiplied by the input."""
    is_own: bool = False
    """Whether a user wrote it, for a network that she knows: then every choice must be for some layer."""

    def check(self, layers: Sequence[Layer]) -> None:
        """Refuse choices of an own composite that are for no layer of a network.

        Raises
        ------
        ConfigError
            There is one.
        """
        weighted = [layer for layer in layers if isinstance(layer, Weighted)]
        for condition, rule in self.choices if self.is_own else ():
            if not any(condition.holds(layer, weighted) for layer in layers):
                raise ConfigError(
                    f"composite {self.name}: rule {rules.name_of(rule)} (kind={condition.kind}, position="
                    f"{condition.position}, name={condition.name}) is for no layer of this network; those with "
                    f"weights are {', '.join(layer.name for layer in weighted)}"
                )

    def rule_for(self, layer: Layer, weighted: Sequence[Layer]) -> Rule:
        """Return the rule of one layer of a network whose layers with weights are ``weighted``.

        Raises
        ------
        ConfigError
            No condition holds for it.
        """
        for condition, rule in (*self.choices, *EVERYWHERE_ELSE):
            if condition.holds(layer, weighted):
                return rule
        raise ConfigError(
            f"composite {self.name} has no rule for layer {layer.name} ({layer.kind}): end it with a rule "
            "that has no condition"
        )


def named(name: str, own: Mapping[str, Composite] | None = None) -> Composite:
    """Return a composite by its name, which may be one of ``own``.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    known = {**(own or {}), **COMPOSITES}
    if name not in known:
        raise ConfigError(f"composite {name!r} is not known: choose from {', '.join(known)}")
    return known[name]


def from_choices(name: str, choices: Sequence[Mapping[str, Any]]) -> Composite:
    """Return a composite of one's own.

    Parameters
    ----------
    name
        Not one of ``COMPOSITES``.
    choices
        Each with ``rule``, its ``parameters``, and the conditions ``kind``, ``position`` and ``name``.

    Raises
    ------
    ConfigError
        The name is taken, a rule or kind of layer is not known, or a parameter cannot be used.
    """
    if name in COMPOSITES:
        raise ConfigError(f"composite {name} is one of the toolkit's own: give yours another name")
    if name.endswith(".json"):
        raise ConfigError(f"composite {name}: a store keeps files of such names; give it another")
    if not choices:
        raise ConfigError(f"composite {name} has no rules: give it at least one")
    return Composite(name, tuple(_choice(name, each) for each in choices), is_own=True)


def _choice(composite: str, plain: Mapping[str, Any]) -> Choice:
    kind = plain["kind"]
    if kind not in {None, *RULED_KINDS}:
        raise ConfigError(
            f"composite {composite}: kind {kind!r} of layer takes no rule, choose from {', '.join(RULED_KINDS)}"
        )
    try:
        rule = rules.made(plain["rule"], plain["parameters"])
    except ConfigError as error:
        raise ConfigError(f"composite {composite}: {error}") from error
    return Condition(kind, plain["position"], plain["name"]), rule


def _everywhere(rule: Rule) -> tuple[Choice, ...]:
    return ((Condition(), rule),)


def _preset(dense: Rule, convolution: Rule) -> tuple[Choice, ...]:
    return (Condition(kind="dense"), dense), (Condition(kind="convolution"), convolution)


_FLAT_FIRST: Choice = (Condition(position=FIRST), rules.Flat())
_GRADIENT = tuple((Condition(kind=kind), rules.Gradient()) for kind in RULED_KINDS)
_PRESET_A = _preset(rules.Epsilon(0.1), rules.AlphaBeta(1, 0))
_PRESET_B = _preset(rules.Epsilon(0.1), rules.AlphaBeta(2, 1))
_EPSILON_PLUS = (
    *_preset(rules.Epsilon(1e-6), rules.AlphaBeta(1, 0, bias="split", epsilon=1e-6)),
    (Condition(kind="average_pool"), rules.Epsilon(1e-6)),
)

_ALL = (
    Composite("lrp.z", _everywhere(rules.Z())),
    Composite("lrp.epsilon", _everywhere(rules.Epsilon(1e-7))),
    Composite("lrp.w_square", _everywhere(rules.WSquare())),
    Composite("lrp.flat", _everywhere(rules.Flat())),
    Composite("lrp.z_plus", _everywhere(rules.ZPlus())),
    Composite("lrp.alpha_1_beta_0", _everywhere(rules.AlphaBeta(1, 0))),
    Composite("lrp.alpha_2_beta_1", _everywhere(rules.AlphaBeta(2, 1))),
    Composite("lrp.sequential_preset_a", _PRESET_A),
    Composite("lrp.sequential_preset_b", _PRESET_B),
    Composite("lrp.sequential_preset_a_flat", (_FLAT_FIRST, *_PRESET_A)),
    Composite("lrp.sequential_preset_b_flat", (_FLAT_FIRST, *_PRESET_B)),
    Composite("epsilon_plus_flat", (_FLAT_FIRST, *_EPSILON_PLUS)),
    Composite("gradient", _GRADIENT, seed_is_logit=False),
    Composite("input_t_gradient", _GRADIENT, seed_is_logit=False, times_input=True),
)
COMPOSITES: dict[str, Composite] = {composite.name: composite for composite in _ALL}
