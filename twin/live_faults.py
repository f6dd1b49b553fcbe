"""The faults of a live network: injected, cleared, repaired by orders, and what they add up to."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from twin import faults
from twin.commands import SetAttribute
from twin.entities import AdministrativeState
from twin.errors import NotFound
from twin.fault_effects import effects_of, strike

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twin.attributes import AttributeValue
    from twin.commands import ManageFault
    from twin.configuration import Configuration
    from twin.entities import Kind
    from twin.fault_effects import Effects
    from twin.faults import ActiveFault
    from twin.scenario import Scenario


class LiveFaults:
    """What is broken on purpose.

    A misconfiguration stays on the list until it is cleared, also when orders have put its values right: an order that
    is undone brings it back. Several may have written the same attribute: the newest is in force, and each knows the
    value that stood there before all of them.

    Args:
        scenario: Where faults strike.
        configuration: What misconfigurations are written into.

    Attributes:
        effects: What the hidden ones do to the model.
    """

    def __init__(self, scenario: Scenario, configuration: Configuration) -> None:
        self._scenario, self._configuration = scenario, configuration
        self._known: tuple[ActiveFault, ...] = ()
        self.effects: Effects = effects_of((), scenario)

    def acting(self) -> tuple[ActiveFault, ...]:
        """Return the faults that act now, the newest last."""
        struck = tuple(written for one in self._known for written in one.written)
        return tuple(
            one
            for one in self._known
            if not one.written
            or not faults.is_put_right(
                one.fault, one.entity_id, one.written, read=self._configuration.read, struck=struck
            )
        )

    def manage(self, order: ManageFault, *, kind: Kind, sim_time_s: float) -> tuple[SetAttribute, ...]:
        """Inject or clear a fault, wholly or not at all, and return the managed attributes that it changed.

        Args:
            kind: What the order strikes.

        Raises:
            InvalidInput: The fault cannot befall this entity, or finds nothing to break there.
            UnknownName, OutOfRange: No such fault, or a severity outside 0..1.
            NotFound: The order clears a fault that is not there.
        """
        row = faults.checked(order, kind=kind)
        same = [one for one in self._known if (one.fault, one.entity_id) == (order.fault, order.entity_id)]
        if order.operation == "clear" and not same:
            raise NotFound(f"`{order.entity_id}` has no active fault `{order.fault}`; nothing to clear")
        rest = tuple(one for one in self._known if one not in same)
        back = self._freed(same, rest)
        self._configuration.write(back)
        struck: tuple[SetAttribute, ...] = ()
        if order.operation == "inject":
            try:
                new = strike(
                    row,
                    order,
                    scenario=self._scenario,
                    configuration=self._configuration,
                    right={(w.entity_id, w.attribute): w.right for one in rest for w in one.written},
                    sim_time_s=sim_time_s,
                )
            except BaseException:
                self._configuration.write(self._freed(rest, same, undone=back))
                raise
            rest = (*rest, new)
            struck = tuple(_set(one.entity_id, one.attribute, one.wrong) for one in new.written)
            self._configuration.write(struck)
        self._take(rest)
        touched = dict.fromkeys((one.entity_id, one.attribute) for one in (*back, *struck))
        return tuple(_set(*at, self._configuration.read(*at)) for at in touched)
