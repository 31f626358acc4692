"""Keep the weights of a prototype network's last layer at 0 or above while it trains."""

from __future__ import annotations

from ignite.engine import Engine, Events

from common.layers.class_connected import ClassConnectedLinear


class LastLayerClamp:
    """Lift negative weights to 0 after every step, for stages whose own step does not do so."""

    def __init__(self, layer: ClassConnectedLinear) -> None:
        """Remember the layer.

        Args:
            layer: the network's last layer.
        """
        self.layer = layer

    def attach(self, engine: Engine) -> None:
        """Register the handler's event with a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Lift negative weights to 0."""
        self.layer.clamp_()
