"""The doctor: examines topics and what stands in them, and says what mends each finding."""

from eventstore.kafka.doctor.examination import RECORDS, Doctor
from eventstore.kafka.doctor.findings import (
    Diagnosis,
    Finding,
    PartitionRead,
    Severity,
    Unchecked,
)

__all__ = ["RECORDS", "Diagnosis", "Doctor", "Finding", "PartitionRead", "Severity", "Unchecked"]
