"""The flights example as an application: ``foldlog.demo.flights.app:app``."""

from foldlog.app import App
from foldlog.demo.flights.aggregate import Flight
from foldlog.demo.flights.read_models import (
    AircraftHistory,
    Cancellations,
    PunctualityByCarrier,
    PunctualityByRoute,
)

app = App(
    aggregates=[Flight],
    projections=[
        AircraftHistory(),
        PunctualityByCarrier(),
        PunctualityByRoute(),
        Cancellations(),
    ],
)
