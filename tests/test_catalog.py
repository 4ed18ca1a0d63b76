"""Instance types: the packaged table, a user's prices over it, and what one's own machine costs."""

from __future__ import annotations

import csv
from importlib import resources

import pytest
from rightsizer.catalog import Catalog, CostModel, MachineSize, load_catalog
from rightsizer.errors import InputError, ProblemsError
from rightsizer.units import BYTES_PER_GIB

MACHINE = MachineSize(cpus=16, memory_bytes=64 * BYTES_PER_GIB)


@pytest.fixture
def priced(tmp_path):
    """The catalog with a price file of these lines laid over it."""

    def load(*lines: str) -> Catalog:
        path = tmp_path / "prices.csv"
        path.write_text("\n".join(lines) + "\n")
        return load_catalog(MACHINE, path)

    return load


@pytest.fixture
def refusals(priced, tmp_path):
    """The lines a price file is refused with, each without its folder."""

    def load(*lines: str) -> list[str]:
        with pytest.raises(ProblemsError) as caught:
            priced(*lines)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return load


# -- the packaged table ------------------------------------------------------------------------


def packaged_rows() -> list[dict[str, str]]:
    text = resources.files("rightsizer").joinpath("instance_types.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_row_of_the_packaged_table_is_found_with_its_size_and_price():
    catalog, rows = load_catalog(MACHINE), packaged_rows()
    assert len(rows) == len(catalog.rows()) == 82
    assert [kind.name for kind in catalog.rows()] == [row["instance_type"] for row in rows]
    for row in rows:
        kind = catalog.find(row["instance_type"])
        assert kind is not None
        assert kind.vcpus == int(row["vcpus"]) >= 1
        assert kind.physical_cores == int(row["physical_cores"]) >= 1
        assert kind.memory_gib == float(row["memory_gib"]) > 0
        assert catalog.price(kind) == float(row["price_per_hour"]) > 0
        assert row["currency"] == "USD"
        assert kind.price_basis == row["price_basis"]
        assert kind.price_basis in ("corroborated", "derived", "unverified")
        assert (kind.accelerator_count > 0) == bool(kind.accelerator) == bool(row["accelerator"])
        assert not kind.is_local


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_gib", "price", "basis"),
    [
        ("ml.m5.xlarge", 4, 16.0, 0.23, "corroborated"),
        ("ml.c5.2xlarge", 8, 16.0, 0.408, "corroborated"),
        ("ml.m5.4xlarge", 16, 64.0, 0.922, "corroborated"),
    ],
)
def test_the_reference_services_published_prices_are_in_the_table(
    name, vcpus, memory_gib, price, basis
):
    kind = load_catalog(MACHINE).find(name)
    assert kind is not None
    assert (kind.vcpus, kind.memory_gib, kind.price_per_hour_usd, kind.price_basis) == (
        vcpus,
        memory_gib,
        price,
        basis,
    )


def test_an_accelerator_comes_with_its_count_and_memory():
    kind = load_catalog(MACHINE).find("ml.g4dn.xlarge")
    assert kind is not None
    assert "T4" in kind.accelerator
    assert (kind.accelerator_count, kind.accelerator_memory_mib) == (1, 16384)


@pytest.mark.parametrize("name", ["ml.m5.tiny", "", "local", "local.0cpu", "local.1cpus"])
def test_a_name_that_is_in_no_table_is_not_found(name):
    assert load_catalog(MACHINE).find(name) is None


# -- local types -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_gib"),
    [
        # 1 of 16 CPUs: 64 / 16 GiB
        ("local.1cpu", 1, 4.0),
        ("local.6cpu", 6, 24.0),
        ("local.16cpu", 16, 64.0),
        # more than the machine has: known, with no more memory than there is
        ("local.32cpu", 32, 64.0),
    ],
)
def test_local_types_always_exist_and_have_their_share_of_the_machines_memory(
    name, vcpus, memory_gib
):
    catalog = load_catalog(MACHINE)
    kind = catalog.find(name)
    assert kind is not None
    assert (kind.vcpus, kind.memory_gib, kind.is_local) == (vcpus, memory_gib, True)
    # nobody knows what it costs
    assert catalog.price(kind) is None


def test_a_price_file_prices_a_local_type(priced):
    catalog = priced("instance_type,price_per_hour", "local.2cpu,0.08")
    kind = catalog.find("local.2cpu")
    assert kind is not None
    assert (kind.vcpus, kind.memory_gib, kind.price_basis) == (2, 8.0, "yours")
    assert catalog.price(kind) == 0.08
    # and only that one
    other = catalog.find("local.1cpu")
    assert other is not None
    assert catalog.price(other) is None


# -- a user's prices ---------------------------------------------------------------------------


def test_a_price_file_overrides_the_price_and_keeps_the_rest_of_the_row(priced):
    catalog = priced("instance_type,price_per_hour", "ml.m5.xlarge,0.19")
    kind = catalog.find("ml.m5.xlarge")
    assert kind is not None
    assert (kind.price_per_hour_usd, kind.price_basis) == (0.19, "yours")
    assert (kind.vcpus, kind.memory_gib, kind.physical_cores) == (4, 16.0, 2)
    other = catalog.find("ml.m5.2xlarge")
    assert other is not None
    assert (other.price_per_hour_usd, other.price_basis) == (0.461, "corroborated")
    assert len(catalog.rows()) == 82


def test_a_price_file_says_itself_how_far_its_prices_can_be_trusted(priced):
    catalog = priced("instance_type,price_per_hour,price_basis", "ml.m5.xlarge,0.19,negotiated")
    kind = catalog.find("ml.m5.xlarge")
    assert kind is not None
    assert kind.price_basis == "negotiated"


def test_a_price_file_adds_types_with_their_size(priced):
    catalog = priced(
        "instance_type,vcpus,memory_gib,processor,price_per_hour,currency",
        "rack.big,32,128,AMD EPYC 7R32,0.7,USD",
    )
    kind = catalog.find("rack.big")
    assert kind is not None
    assert (kind.vcpus, kind.memory_gib, kind.processor) == (32, 128.0, "AMD EPYC 7R32")
    assert catalog.price(kind) == 0.7
    assert len(catalog.rows()) == 83


def test_a_new_types_size_is_optional_because_the_hosts_file_may_give_it(priced):
    catalog = priced("instance_type,price_per_hour", "rack.big,0.7")
    kind = catalog.find("rack.big")
    assert kind is not None
    assert (kind.vcpus, kind.memory_gib) == (0, 0.0)
    assert catalog.price(kind) == 0.7


def test_spaces_around_cells_and_a_byte_order_mark_do_not_matter(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("\ufeffinstance_type , price_per_hour\r\n ml.m5.xlarge , 0.19 \r\n", "utf-8")
    kind = load_catalog(MACHINE, path).find("ml.m5.xlarge")
    assert kind is not None
    assert kind.price_per_hour_usd == 0.19


# -- the on-prem cost model --------------------------------------------------------------------

# 26280 USD over 3 years are 1 USD an hour: 26280 / 3 / 8760.
# 876 USD a year are 0.10 USD an hour: 876 / 8760.
# 500 W at PUE 1.5 are 0.75 kW, at 0.20 USD/kWh 0.15 USD an hour; 100 W idle are 0.03.
MODEL = CostModel(
    purchase_usd=26280,
    lifetime_years=3,
    idle_watts=100,
    loaded_watts=500,
    pue=1.5,
    usd_per_kwh=0.20,
    other_usd_per_year=876,
)
COLUMNS = "purchase_usd,lifetime_years,idle_watts,loaded_watts,pue,usd_per_kwh,other_usd_per_year"
CELLS = "26280,3,100,500,1.5,0.20,876"


@pytest.mark.parametrize(
    ("utilisation", "usd_per_hour"),
    [
        # at full load: 1 + 0.10 + 0.15
        (1.0, 1.25),
        # idle: 1 + 0.10 + 0.03
        (0.0, 1.13),
        # half way between idle and loaded watts: 300 W, 0.09
        (0.5, 1.19),
    ],
)
def test_a_machine_costs_its_purchase_its_upkeep_and_its_energy(utilisation, usd_per_hour):
    assert MODEL.per_hour_usd(utilisation) == pytest.approx(usd_per_hour, rel=1e-12)


def test_only_purchase_and_lifetime_are_needed():
    assert CostModel(purchase_usd=8760, lifetime_years=2).per_hour_usd() == 0.5


@pytest.mark.parametrize(
    ("size", "share"),
    [
        # local.4cpu: 4 of 16 CPUs and 16 of 64 GiB
        ("local.4cpu,,", 4 / 16),
        # its memory share, 48 of 64 GiB, is the larger
        ("local.4cpu,,48", 48 / 64),
        # its CPU share, 12 of 16, is the larger
        ("rack.half,12,8", 12 / 16),
        # nobody pays for more than the machine
        ("rack.huge,64,512", 1.0),
        # of unknown size: the whole machine
        ("rack.any,,", 1.0),
    ],
)
def test_a_type_pays_the_larger_of_its_cpu_and_memory_share_of_the_machine(priced, size, share):
    catalog = priced(f"instance_type,vcpus,memory_gib,{COLUMNS}", f"{size},{CELLS}")
    kind = catalog.find(size.split(",")[0])
    assert kind is not None
    assert kind.cost_model == MODEL
    assert (kind.price_per_hour_usd, kind.price_basis) == (None, "cost model")
    assert catalog.price(kind) == pytest.approx(share * 1.25, rel=1e-12)
    assert catalog.price(kind, utilisation_ratio=0.0) == pytest.approx(share * 1.13, rel=1e-12)


def test_the_columns_of_a_cost_model_that_are_left_empty_count_as_nothing(priced):
    catalog = priced(f"instance_type,{COLUMNS}", "local.16cpu,26280,3,,,,,")
    kind = catalog.find("local.16cpu")
    assert kind is not None
    assert catalog.price(kind) == 1.0


# -- bad price files ---------------------------------------------------------------------------


def test_all_bad_rows_of_a_price_file_are_told_at_once_with_their_lines(refusals):
    assert refusals(
        "instance_type,price_per_hour,vcpus",
        "ml.m5.xlarge,0.19,",
        ",0.2,",
        "",
        "ml.m5.large,free,",
        "ml.c5.large,0.1,2.5",
        "ml.m5.xlarge,0.2,",
    ) == [
        "prices.csv:3: instance_type is missing; name the type",
        "prices.csv:5: price_per_hour 'free' is not a number; mend it",
        "prices.csv:6: vcpus '2.5' is not a whole number; mend it",
        "prices.csv:7: ml.m5.xlarge is on line 2; keep one",
    ]


@pytest.mark.parametrize("price", ["0", "-1", "nan", "inf", "1e999"])
def test_a_price_that_is_not_above_nothing_and_finite_is_refused(refusals, price):
    assert refusals("instance_type,price_per_hour", f"ml.m5.xlarge,{price}") == [
        f"prices.csv:2: price_per_hour '{price}' must be a finite number above 0; mend it"
    ]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        # neither kind of price, or half of one
        (",,,,,,,", "local.1cpu has no price; give price_per_hour, or purchase_usd and "
         "lifetime_years"),
        (",5000,,,,,,", "local.1cpu has no price; give price_per_hour, or purchase_usd and "
         "lifetime_years"),
        # both
        ("0.1,5000,3,,,,,", "local.1cpu has both price_per_hour and purchase_usd; keep one kind "
         "of price"),
        # a machine that lasts no time
        (",5000,0,,,,,", "lifetime_years '0' must be a finite number above 0; mend it"),
        (",5000,nan,,,,,", "lifetime_years 'nan' must be a finite number above 0; mend it"),
        (",-1,3,,,,,", "purchase_usd '-1' must be a finite number of at least 0; mend it"),
        # energy that cannot be
        (",5000,3,500,100,,,", "loaded_watts is below idle_watts; mend them"),
        (",5000,3,,,0.9,,", "pue must be at least 1; mend it"),
        (",5000,3,,,,inf,", "usd_per_kwh 'inf' must be a finite number of at least 0; mend it"),
        # a machine that costs nothing
        (",0,3,,,,,", "the cost model of local.1cpu comes to nothing; mend it"),
    ],
)  # fmt: skip
def test_a_row_whose_price_means_nothing_is_refused(refusals, cells, problem):
    found = refusals(f"instance_type,price_per_hour,{COLUMNS}", f"local.1cpu,{cells}")
    assert found == [f"prices.csv:2: {problem}"]


def test_a_machine_given_for_nothing_still_pays_for_its_energy(priced):
    # 500 W at PUE 1 and 0.20 USD/kWh
    catalog = priced(f"instance_type,{COLUMNS}", "local.16cpu,0,3,0,500,1,0.20,")
    kind = catalog.find("local.16cpu")
    assert kind is not None
    assert catalog.price(kind) == pytest.approx(0.10, rel=1e-12)


def test_another_currency_is_refused(refusals):
    assert refusals("instance_type,price_per_hour,currency", "ml.m5.xlarge,0.2,EUR") == [
        "prices.csv:2: currency EUR is not supported; convert to USD"
    ]


def test_a_price_file_without_rows_is_refused(refusals):
    assert refusals("instance_type,price_per_hour") == [
        "prices.csv: no rows; give a header and at least one row"
    ]


def test_a_price_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError) as caught:
        load_catalog(MACHINE, tmp_path / "prices.csv")
    assert str(caught.value) == (
        f"cannot read the price file {tmp_path}/prices.csv: No such file or directory; "
        "give a CSV file"
    )


def test_a_price_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"^cannot read the price file .*; give a CSV file$"):
        load_catalog(MACHINE, path)


def test_a_local_gpu_has_its_equal_share_of_the_cpus_for_servers():
    machine = MachineSize(16, 64 * BYTES_PER_GIB, server_cpus=14, gpus=2, neuron_devices=1)
    gpu, neuron = (load_catalog(machine).find(name) for name in ("local.gpu", "local.neuron"))
    assert gpu is not None
    assert neuron is not None
    assert (gpu.vcpus, gpu.memory_gib) == (7, 28.0)
    assert (gpu.accelerator, gpu.accelerator_count, gpu.is_local) == ("NVIDIA GPU", 1, True)
    assert (neuron.vcpus, neuron.accelerator) == (14, "Neuron device")


def test_a_local_gpu_is_known_where_there_is_none_so_that_the_plan_says_why_not():
    found = load_catalog(MachineSize(2, BYTES_PER_GIB)).find("local.gpu")
    assert found is not None
    assert found.vcpus == 1


def test_a_catalog_knows_which_types_a_price_file_has(tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text("instance_type,price_per_hour\nlocal.1cpu,0.1\nml.c5.xlarge,0.05\n")
    assert load_catalog(MACHINE, file).own == {"local.1cpu", "ml.c5.xlarge"}
    assert load_catalog(MACHINE).own == frozenset()
