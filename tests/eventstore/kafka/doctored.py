"""An application to examine: the bank."""

from foldlog import App
from tests.bank import Account

app = App(aggregates=[Account], partitions=1)
