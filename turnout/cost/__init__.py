"""What a mode costs: pure functions over list prices and a stated workload, offline and without AWS's library.

    prices = turnout.prices.load("us-east-1")
    work = workload_of(spec)                      # from the entry's `traffic:`, else assumed; `work.notes` says which
    for mode, bill in bills(spec, stage, work, prices).items():
        bill.refused or bill.monthly              # why the mode is illegal for the entry, or USD a month

A bill is nothing but its lines: each is units times a price of the table. Not counted: free tiers, data transfer out of
AWS, taxes, support.
"""

from turnout.cost.billing import Bill, bill, bills, entry_for, live_usd, shared_bill
from turnout.cost.fleets import Fleet, ModelBills, fleet
from turnout.cost.lines import Line
from turnout.cost.workload import DAYS, HOURS, Workload, measured, noted, workload_of

__all__ = [
    "DAYS",
    "HOURS",
    "Bill",
    "Fleet",
    "Line",
    "ModelBills",
    "Workload",
    "bill",
    "bills",
    "entry_for",
    "fleet",
    "live_usd",
    "measured",
    "noted",
    "shared_bill",
    "workload_of",
]
