"""Times counted in buckets, in fixed memory."""

class Histogram:
    """Times in nanoseconds, each known to 1/64 of itself."""

    def record(self, value: int) -> None:
        """Count one time of `value` nanoseconds."""

    def clear(self) -> None:
        """Forget all times."""

    def add(self, other: Histogram) -> None:
        """Count the other's times too."""

    def since(self, earlier: Histogram) -> Histogram:
        """What was counted since `earlier`, a copy of this; its ends are those of the whole."""

    @property
    def total(self) -> int:
        """How many times were counted."""

    @property
    def least(self) -> int:
        """The shortest, in nanoseconds; 0 where there is none."""

    @property
    def most(self) -> int:
        """The longest, in nanoseconds; 0 where there is none."""

    def percentile(self, percent: float) -> int:
        """The time that `percent` of all do not exceed, in nanoseconds, 1/64 too long at most."""
