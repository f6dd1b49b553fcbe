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
    from collections.abc import Iterable

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
        same = tuple(one for one in self._known if (one.fault, one.entity_id) == (order.fault, order.entity_id))
        others = tuple(one for one in self._known if one not in same)
        struck: tuple[SetAttribute, ...] = ()
        if order.operation == "inject":
            acting = self.acting()
            new = strike(
                row,
                order,
                scenario=self._scenario,
                configuration=self._configuration,
                right={(w.entity_id, w.attribute): w.right for one in acting for w in one.written},
                sim_time_s=sim_time_s,
            )
            # One that orders have repaired is over once another writes the same: its end must not undo the other's.
            over = [one for one in others if one not in acting and _share_an_attribute(one, new)]
            others = tuple(one for one in others if one not in over)
            back = self._freed(same, others)
            struck = tuple(_set(one.entity_id, one.attribute, one.wrong) for one in new.written)
            self._known = (*others, new)
        elif same:
            back = self._freed(same, others)
            self._known = others
        else:
            raise NotFound(f"`{order.entity_id}` has no active fault `{order.fault}`; nothing to clear")
        self._configuration.write((*back, *struck))
        self.effects = effects_of(self._known, self._scenario)
        touched = dict.fromkeys((one.entity_id, one.attribute) for one in (*back, *struck))
        return tuple(_set(*at, self._configuration.read(*at)) for at in touched)

    def _freed(self, ended: Iterable[ActiveFault], others: Iterable[ActiveFault]) -> tuple[SetAttribute, ...]:
        """Return orders that undo faults: what an older one wrote is in force again, else the right value.

        What somebody has changed since stays as it is.
        """
        older = {(w.entity_id, w.attribute): w.wrong for one in others for w in one.written}
        return tuple(
            _set(w.entity_id, w.attribute, older.get((w.entity_id, w.attribute), w.right))
            for one in ended
            for w in one.written
            if self._configuration.read(w.entity_id, w.attribute) == w.wrong
        )

    def see(self, order: SetAttribute) -> None:
        """Look at an order before it is in force: a restart, LOCKED and then UNLOCKED, wakes a sleeping cell."""
        if order.attribute != "administrativeState" or order.value != AdministrativeState.UNLOCKED.value:
            return
        if self._configuration.read(order.entity_id, order.attribute) == AdministrativeState.LOCKED.value:
            self.take(one for one in self._known if (one.fault, one.entity_id) != ("sleeping-cell", order.entity_id))

    def take(self, active: Iterable[ActiveFault]) -> None:
        """Let these faults act from now on, whose values are in the configuration already."""
        self._known = tuple(active)
        self.effects = effects_of(self._known, self._scenario)

    def known(self) -> tuple[ActiveFault, ...]:
        """Return every fault that has not been cleared, also those that orders have put right."""
        return self._known

    def document(self) -> list[dict[str, Any]]:
        """Return all faults as a document."""
        return [asdict(one) for one in self._known]


def _set(entity_id: str, name: str, value: AttributeValue) -> SetAttribute:
    return SetAttribute(entity_id=entity_id, attribute=name, value=value)


def _share_an_attribute(one: ActiveFault, other: ActiveFault) -> bool:
    own = {(w.entity_id, w.attribute) for w in one.written}
    return any((w.entity_id, w.attribute) in own for w in other.written)
