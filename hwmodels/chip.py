"""A chip as data: what it can hold, and what it charges. Validated by pydantic; `chip_file.py` reads it from TOML."""

from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from .errors import HardwareError
from .events import Event, shown

Scope = Literal["per-term", "all-in"]
Basis = Literal["measured", "simulated", "vendor", "derived"]
Grade = Literal["P", "Q", "S"]

PICOJOULES: Final = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3}

MEMORY_EVENTS: Final[frozenset[Event]] = frozenset(
    ("weight_read_byte", "index_read_byte", "state_read_byte", "state_write_byte")
)
"""Events whose price may depend on the size of the memory."""


def _refusal(expected: str, found: str) -> PydanticCustomError:
    """What a validator raises: `chip_file.py` reads both halves into its GSM-502."""
    return PydanticCustomError("chip", "{expected}, not {found}", {"expected": expected, "found": found})


def _printable(text: str) -> str:
    if not text.replace("\n", "").isprintable():
        raise _refusal("text without control characters", shown(text))
    return text


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*\z", max_length=64)]
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S"), AfterValidator(_printable)]
Positive = Annotated[float, Field(gt=0)]
Size = Annotated[int, Field(gt=0, lt=2**53)]


class _Table(BaseModel):
    """Abstract. One table of a chip file: unknown keys, wrong types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Quoted(_Table):
    """Abstract. Where a figure comes from and what it covers.

    Fields:
        scope: "per-term": this event alone. "all-in": the whole chip's energy divided by the number of these events.
        basis: "measured" on silicon, "simulated" before it, "vendor" (stated without method), "derived" (computed or
            estimated from other figures).
        node: Process, such as "45 nm".
        voltage: Supply, such as "0.75 V"; absent where the source does not say.
        source: Author, year, table or file.
        grade: "P" primary source read; "Q" quotation of the primary source that a second one agrees with;
            "S" one secondary source.
        note: What a reader of the figure must know.
    """

    scope: Scope
    basis: Basis
    node: Text
    voltage: Text | None = None
    source: Text
    grade: Grade
    note: Text | None = None


class Price(_Quoted):
    """What one event costs: `value` in `unit`, perhaps between `low` and `high` (same unit)."""

    value: Positive
    unit: Literal["fJ", "pJ", "nJ"]
    low: Positive | None = None
    high: Positive | None = None

    @model_validator(mode="after")
    def _range_holds_value(self) -> Self:
        _check_range(self.low, self.value, self.high)
        return self

    @property
    def pj(self) -> float:
        """Price of one event in pJ."""
        return self.value * PICOJOULES[self.unit]

    @property
    def low_pj(self) -> float:
        """Lowest published price in pJ; `pj` where there is no range."""
        return self.pj if self.low is None else self.low * PICOJOULES[self.unit]

    @property
    def high_pj(self) -> float:
        """Highest published price in pJ; `pj` where there is no range."""
        return self.pj if self.high is None else self.high * PICOJOULES[self.unit]


class MemoryTier(_Quoted):
    """What one byte costs in a memory of up to `max_bytes`, quoted per access.

    The price of a byte is `pj_per_access / (access_bits / 8)`: words are packed full and streamed. A synapse that is
    fetched alone costs a whole access instead, which this model does not charge.

    Fields:
        max_bytes: Largest memory of this tier, inclusive; absent for a memory without limit (DRAM).
        pj_per_access: Energy of one access, in pJ, perhaps between `low_pj_per_access` and `high_pj_per_access`.
        access_bits: Width of one access. Sources differ in it (32 or 64), which is a factor of 2: always stated.
    """

    max_bytes: Size | None = None
    pj_per_access: Positive
    low_pj_per_access: Positive | None = None
    high_pj_per_access: Positive | None = None
    access_bits: Annotated[int, Field(ge=8, le=65_536, multiple_of=8)]

    @model_validator(mode="after")
    def _range_holds_value(self) -> Self:
        _check_range(self.low_pj_per_access, self.pj_per_access, self.high_pj_per_access)
        return self

    @property
    def pj(self) -> float:
        """Price of one byte in pJ."""
        return self.pj_per_access / (self.access_bits / 8)

    @property
    def low_pj(self) -> float:
        """Lowest published price of one byte in pJ."""
        return (self.low_pj_per_access or self.pj_per_access) / (self.access_bits / 8)

    @property
    def high_pj(self) -> float:
        """Highest published price of one byte in pJ."""
        return (self.high_pj_per_access or self.pj_per_access) / (self.access_bits / 8)


def _check_range(low: float | None, value: float, high: float | None) -> None:
    if (low is not None and low > value) or (high is not None and high < value):
        raise _refusal("low <= value <= high", f"low {low}, value {value}, high {high}")


def _check_tiers(tiers: tuple[MemoryTier, ...]) -> tuple[MemoryTier, ...]:
    limits = [tier.max_bytes for tier in tiers]
    bounded = [limit for limit in limits if limit is not None]
    if bounded != limits[: len(bounded)] or len(limits) - len(bounded) > 1:
        raise _refusal("max_bytes on every tier, or on every tier but the last", f"max_bytes {limits}")
    if any(larger <= smaller for smaller, larger in pairwise(bounded)):
        raise _refusal("max_bytes that grow from tier to tier", f"max_bytes {bounded}")
    return tiers


def _kind(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return "tiers"
    return "price" if isinstance(value, dict | Price) else None


Tiers = Annotated[tuple[MemoryTier, ...], Field(min_length=1, strict=False), AfterValidator(_check_tiers)]
EventPrice = Annotated[
    Annotated[Price, Tag("price")] | Annotated[Tiers, Tag("tiers")],
    Discriminator(
        _kind,
        custom_error_type="price",
        custom_error_message="Input should be a table with a price, a list of memory tiers, or the name of one "
        "under [[memories]]",
    ),
]


class PriceList(_Table):
    """One consistent way to charge for events. What is in neither `prices` nor `excluded` makes a total partial.

    Fields:
        name: Its key in the chip's `price_lists`.
        label: A few words for a table's heading.
        description: What the list covers and when to use it.
        arithmetic: "float32" or "int", if its prices are of that; else of any.
        prices: Event -> price; for bytes of memory also tiers by the memory's size.
        excluded: Event -> why this list leaves it out on purpose.
    """

    name: Name
    label: Text
    description: Text
    arithmetic: Literal["float32", "int"] | None = None
    prices: Annotated[dict[Event, EventPrice], Field(min_length=1)]
    excluded: dict[Event, Text] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for event, price in self.prices.items():
            if event in self.excluded:
                raise _refusal("each event in prices or in excluded", f"{event} in both")
            if isinstance(price, tuple) and event not in MEMORY_EVENTS:
                raise _refusal("memory tiers only for bytes of memory", f"tiers for {event}")
        scopes = {quoted.scope for price in self.prices.values() for quoted in _quotes(price)}
        if len(scopes) > 1:
            raise _refusal(
                "prices of one scope (an all-in price holds already what per-term prices would add again)",
                " and ".join(sorted(scopes)) + " in one list",
            )
        return self

    def price_of(self, event: Event, *, memory_bytes: int = 0) -> Price | MemoryTier | None:
        """Find what one `event` costs.

        Args:
            event: The billable event.
            memory_bytes: Size of the memory that is read or written; chooses among tiers (the smallest whose
                `max_bytes` is at least this).
        Returns: The price; None where the list has none, or the memory is larger than its largest tier.
        """
        price = self.prices.get(event)
        if not isinstance(price, tuple):
            return price
        return next((tier for tier in price if tier.max_bytes is None or memory_bytes <= tier.max_bytes), None)

    def has_tiers(self, event: Event) -> bool:
        """Whether the price of `event` depends on the size of the memory."""
        return isinstance(self.prices.get(event), tuple)


def _quotes(price: Price | tuple[MemoryTier, ...]) -> tuple[Price | MemoryTier, ...]:
    return price if isinstance(price, tuple) else (price,)


class Mesh(_Table):
    """A rectangular network of tiles (routers), each with the same number of cores."""

    width: Size
    height: Size
    cores_per_tile: Size


class Capacities(_Table):
    """What a chip can hold. A field that is absent is unknown, not unlimited.

    Fields:
        source: Where the limits come from; needed as soon as there is one.
        n_cores: Neuron cores of one chip.
        neurons_per_core: Neurons (compartments) of one core.
        synapse_bits_per_core: Synaptic memory of one core, in bits.
        axons_in_per_core: Input axons of one core.
        axons_out_per_core: Output axons of one core.
        weight_bits: Widest weight, sign included.
        state_bits: Width of a neuron's state variable, sign included.
        decay_bits: Width of the decay constants.
        max_delay_steps: Longest synaptic delay, in steps.
        mesh: The network between the cores.
    """

    source: Text | None = None
    n_cores: Size | None = None
    neurons_per_core: Size | None = None
    synapse_bits_per_core: Size | None = None
    axons_in_per_core: Size | None = None
    axons_out_per_core: Size | None = None
    weight_bits: Size | None = None
    state_bits: Size | None = None
    decay_bits: Size | None = None
    max_delay_steps: Size | None = None
    mesh: Mesh | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.source is None and any(value is not None for _, value in self):
            raise _refusal("a source for the limits", "none")
        if self.mesh is not None and self.n_cores is not None:
            n_cores = self.mesh.width * self.mesh.height * self.mesh.cores_per_tile
            if n_cores != self.n_cores:
                raise _refusal(f"a mesh of n_cores = {self.n_cores} cores", f"a mesh of {n_cores}")
        return self


class Chip(_Table):
    """A chip, or a technology that stands for one.

    Fields:
        name: How it is called on the command line; a bundled chip's file has this name.
        description: What it is.
        source: Where the description and the figures come from, in one line.
        default_price_list: The list that a spec without ":price-list" means.
        capacities: What it can hold.
        memories: Named memory tiers that price lists refer to.
        price_lists: Name -> price list.
    """

    name: Name
    description: Text
    source: Text
    default_price_list: Name
    capacities: Capacities = Capacities()
    memories: dict[Name, Tiers] = {}
    price_lists: Annotated[dict[Name, PriceList], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.default_price_list not in self.price_lists:
            names = ", ".join(self.price_lists)
            raise _refusal(f"a default_price_list out of {names}", repr(self.default_price_list))
        for key, prices in self.price_lists.items():
            if prices.name != key:
                raise _refusal(f"the name {key!r} for the price list of this key", repr(prices.name))
        return self

    def prices(self, name: str | None = None) -> PriceList:
        """Return the price list `name`, or the default one.

        Raises: HardwareError: GSM-503, if there is none of that name.
        """
        found = self.price_lists.get(self.default_price_list if name is None else name)
        if found is None:
            raise HardwareError(
                "GSM-503",
                "unknown price list",
                where=f"chip {self.name!r}",
                found=repr(name),
                expected="one of " + ", ".join(self.price_lists),
                remedy=f"write {self.name}:{self.default_price_list}, or {self.name} alone for the default",
            )
        return found
