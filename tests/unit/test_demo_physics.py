"""The EMT workflows as plain calls: the physics, what is accepted as a structure, and the one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ase")

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms

from simcelery.demo import equation_of_state as physics
from simcelery.demo import workflows
from simcelery.demo.plot import plot
from simcelery.demo.reference import FCC_METALS, MEASURED
from simcelery.demo.results import EquationOfState, Point
from simcelery.demo.structures import EMT_ELEMENTS, Geometry, read_structure
from simcelery.demo.table import COLUMNS, rows
from simcelery.errors import ParametersError
from simcelery.workflows.encoding import decode, encode

EXAMPLES = Path(__file__).parents[2] / "examples" / "emt"


@pytest.fixture(scope="module")
def fits() -> dict[str, EquationOfState]:
    return {metal: workflows.eos(metal) for metal in FCC_METALS}


RATTLED = EXAMPLES / "Cu-rattled.xyz"


@pytest.fixture(scope="module")
def relaxed():
    """The rattled crystal, relaxed once: it takes seconds."""
    return workflows.relax(RATTLED, fmax=0.01)


# --- the physics ---------------------------------------------------------------------------------------


def test_equation_of_state_of_copper(fits):
    copper = fits["Cu"]
    assert copper.a0 == pytest.approx(3.590, abs=0.005)
    assert copper.bulk_modulus == pytest.approx(134, abs=4)
    assert copper.v0 == pytest.approx(copper.a0**3 / 4)
    assert copper.residual < 1e-3
    assert len(copper.volumes) == len(copper.energies) == 9
    assert copper.volumes == sorted(copper.volumes)


def test_the_cell_given_does_not_matter(fits):
    assert workflows.eos(EXAMPLES / "Cu.cif").a0 == pytest.approx(fits["Cu"].a0)


def test_every_metal_is_near_experiment(fits):
    for metal, fit in fits.items():
        assert fit.a0 == pytest.approx(MEASURED[metal].a0, rel=0.02), metal
        # EMT is known to be much too soft for aluminium.
        assert fit.bulk_modulus == pytest.approx(
            MEASURED[metal].bulk_modulus, rel=0.5 if metal == "Al" else 0.1
        )


def test_an_alloy_has_no_fcc_lattice_constant():
    alloy = workflows.eos(EXAMPLES / "POSCAR")
    assert alloy.formula == "AuCu3"
    assert alloy.a0 is None
    assert alloy.bulk_modulus > 0


def test_fit_recovers_what_the_points_were_made_from():
    from ase.eos import birchmurnaghan
    from ase.units import GPa

    volumes = np.linspace(10.0, 13.5, 7)
    points = [Point(0.0, v, birchmurnaghan(v, -3.0, 150 * GPa, 5.0, 11.6)) for v in volumes]
    fit = workflows.fit_eos(points[::-1], "Cu")
    assert (fit.e0, fit.v0) == pytest.approx((-3.0, 11.6))
    assert (fit.bulk_modulus, fit.bulk_modulus_derivative) == pytest.approx((150, 5.0), rel=1e-4)
    assert fit.residual < 1e-6


def test_no_minimum_within_the_volumes_is_one_line():
    points = [workflows.strained("Cu", strain) for strain in (0.03, 0.05, 0.07, 0.09, 0.11)]
    with pytest.raises(ValueError, match=r"^no minimum of energy between .* widen the span$"):
        workflows.fit_eos(points, "Cu")


def test_strains_are_symmetric_and_contain_zero():
    assert physics.strains(9, 0.05)[::4] == [-0.05, 0.0, 0.05]


@pytest.mark.parametrize(("points", "span"), [(4, 0.05), (9, 0.0), (9, 0.5), (9, float("nan"))])
def test_points_and_span_out_of_range_are_refused(points, span):
    with pytest.raises(ParametersError):
        workflows.eos("Cu", points=points, span=span)
    with pytest.raises(ValueError, match=r"equation of state needs at least|span of the strains"):
        physics.strains(points, span)


def test_relax_lowers_the_energy_and_reaches_fmax(relaxed):
    start = workflows.energy(RATTLED)
    assert relaxed.converged
    assert 0 < relaxed.steps < 200
    assert start.max_force > 1 > 0.01 >= relaxed.max_force
    assert relaxed.energy_per_atom < start.energy_per_atom - 0.05
    assert relaxed.a0 == pytest.approx(3.590, abs=0.005)
    assert relaxed.volume == pytest.approx(32 * relaxed.a0**3 / 4)


def test_relax_without_the_cell_keeps_the_volume():
    relaxed = workflows.relax(RATTLED, relax_cell=False)
    assert relaxed.converged
    assert relaxed.volume == pytest.approx(7.22**3)


def test_running_out_of_steps_is_no_error():
    relaxed = workflows.relax(RATTLED, steps=2)
    assert not relaxed.converged
    assert relaxed.steps == 2


def test_a_plain_call_prints_nothing(capsys):
    workflows.relax("Cu")
    assert capsys.readouterr().out == ""


def test_constrained_atoms_stay():
    atoms = read_structure(RATTLED)
    atoms.set_constraint(FixAtoms([0]))
    relaxed = workflows.relax(atoms, relax_cell=False)
    assert relaxed.structure.positions[0] == atoms.positions[0].tolist()
    assert relaxed.structure.positions[1] != atoms.positions[1].tolist()


def test_a_workflow_leaves_the_structure_given_alone():
    atoms = read_structure(RATTLED)
    before = atoms.positions.copy()
    assert workflows.relax(atoms, steps=2).structure.positions != before.tolist()
    assert (atoms.positions == before).all()
    assert atoms.calc is None


def test_a_molecule_has_an_energy_but_no_cell():
    molecule = Atoms("N2", [[0, 0, 0], [0, 0, 1.1]])
    assert workflows.energy(molecule).volume_per_atom is None
    assert workflows.relax(molecule, relax_cell=False).volume is None
    with pytest.raises(ValueError, match="relax_cell=True needs a crystal"):
        workflows.relax(molecule)
    with pytest.raises(ValueError, match="an equation of state needs a crystal"):
        workflows.eos(molecule)


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (bulk("Cu"), True),
        (bulk("Cu", cubic=True), True),
        (bulk("Cu") * (3, 2, 1), True),
        (bulk("Cu", "hcp", a=2.55, c=2.55 * (8 / 3) ** 0.5), False),
        (bulk("Cu", "bcc", a=2.87), False),
        (bulk("Cu", "sc", a=2.4), False),
        (Atoms("Cu"), False),
    ],
)
def test_fcc_is_recognised_in_any_cell(atoms, expected):
    assert physics.is_fcc(atoms) is expected


# --- structures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "formula"),
    [
        (EXAMPLES / "Cu.cif", "Cu4"),
        (str(EXAMPLES / "Cu.cif"), "Cu4"),
        (EXAMPLES / "POSCAR", "Cu3Au"),
        (RATTLED, "Cu32"),
        ("Cu", "Cu"),
        (bulk("Pt", cubic=True), "Pt4"),
        (bulk("Pt", cubic=True).todict(), "Pt4"),
    ],
)
def test_what_is_a_structure(given, formula):
    atoms = read_structure(given)
    assert atoms.symbols.formula == formula
    assert atoms.pbc.all()


@pytest.mark.parametrize("name", ["POSCAR-relaxed", "CONTCAR", "cu.poscar"])
def test_vasp_files_are_known_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_text((EXAMPLES / "POSCAR").read_text())
    assert len(read_structure(path)) == 4


def test_a_symbol_is_the_measured_crystal():
    for metal in FCC_METALS:
        atoms = read_structure(metal)
        assert len(atoms) == 1
        assert atoms.get_volume() == pytest.approx(MEASURED[metal].a0 ** 3 / 4)


def test_a_symbol_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("Cu").write_text((RATTLED).read_text())
    assert len(read_structure("Cu")) == 1
    assert len(read_structure("./Cu")) == 32


def test_a_structure_survives_the_board():
    atoms = read_structure(RATTLED)
    atoms.set_constraint(FixAtoms([3, 5]))
    again = read_structure(decode(json.loads(json.dumps(encode(atoms)))))
    assert again == atoms
    assert again.constraints[0].index.tolist() == [3, 5]


def test_a_relaxation_is_accepted_as_a_structure(relaxed):
    stored = decode(json.loads(json.dumps(encode(relaxed))))
    for given in (relaxed, relaxed.structure, stored, stored["structure"]):
        assert Geometry.of(read_structure(given)) == relaxed.structure


def test_equal_structures_look_equal_on_the_board():
    plain, decorated = bulk("Cu"), bulk("Cu")
    decorated.info["comment"] = "from a CIF"
    decorated.set_tags([7])
    assert encode(read_structure(plain)) == encode(read_structure(decorated))


def test_the_elements_are_those_of_the_potential():
    from ase.calculators.emt import parameters

    assert set(EMT_ELEMENTS) == set(parameters)


# --- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Cuu.cif", "Cuu.cif is neither a file nor an fcc metal that EMT knows (Al Ni Cu Pd Ag Pt Au)"),
        ("Fe", "EMT has no parameters for Fe; use only Al Ni Cu Pd Ag Pt Au H C N O"),
        (bulk("NaCl", "rocksalt", a=5.64), "EMT has no parameters for Na Cl; use only"),
        (Atoms(), "the structure has no atoms"),
        (Atoms("Cu", [[0, 0, float("nan")]]), "not finite"),
        ({"numbers": [29]}, "could not read the dictionary as a structure"),
        (42, "a structure is a file, an fcc metal or Atoms, not of type int"),
        ("", "the name of the structure file is empty"),
    ],
)
def test_what_is_no_structure_is_one_line(given, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is compared below)
        read_structure(given)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["broken.cif", "POSCAR", "broken.xyz", "notes.txt"])
@pytest.mark.parametrize("text", ["", "not a structure\nat all\n"])
def test_an_unreadable_file_is_one_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^could not read .* as a structure") as raised:
        read_structure(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="is a folder; give a structure file in it"):
        read_structure(tmp_path)


def test_partly_occupied_sites_are_refused(tmp_path):
    path = tmp_path / "partial.cif"
    path.write_text((EXAMPLES / "Cu.cif").read_text().replace("0.0  1.0", "0.0  0.5"))
    with pytest.raises(ValueError, match="partially occupied sites"):
        read_structure(path)


def test_a_workflow_names_the_parameter():
    with pytest.raises(
        ParametersError, match=r"emt\.relax: parameter 'structure': Cuu\.cif is neither a file"
    ):
        workflows.relax("Cuu.cif")


# --- table, plot, import -------------------------------------------------------------------------------


def test_the_table_has_a_row_per_metal(fits):
    table = rows(fits)
    assert [row.metal for row in table] == list(FCC_METALS)
    assert all(len(row.cells()) == len(COLUMNS) for row in table)
    copper = table[2]
    assert copper.cells()[:4] == ("Cu", "3.590", "3.61", "-0.6")
    assert copper.a0_deviation == pytest.approx(100 * (copper.a0 / 3.61 - 1))


def test_the_plot_is_a_png(fits, tmp_path):
    pytest.importorskip("matplotlib")
    path = plot(fits, tmp_path / "results" / "eos.png")
    assert path == tmp_path / "results" / "eos.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_importing_the_demo_is_cheap():
    """It is imported in every worker, so neither scipy nor matplotlib nor the potential may come with it."""
    code = (
        "import sys, simcelery.demo.workflows; "
        "print([m for m in ('scipy', 'matplotlib', 'ase.calculators.emt', 'ase.io') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
