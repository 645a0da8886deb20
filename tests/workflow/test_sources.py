"""Fingerprints of code: what a job runs counts, comments and docstrings do not."""

import pytest

from workflow import sources


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A project of three modules: solvers.a imports solvers.b, solvers.c stands alone."""
    folder = tmp_path / "solvers"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "a.py").write_text('"""Text."""\nimport numpy\nfrom solvers.b import f\n\n\ndef g(x):\n    return f(x)\n')
    (folder / "b.py").write_text("def f(x):\n    # why\n    return x + 1\n")
    (folder / "c.py").write_text("from solvers import b\n")
    monkeypatch.setattr(sources, "ROOT", tmp_path)

    def forget():
        for cached in (sources.imports, sources._tree, sources._tree_digest):
            cached.cache_clear()

    forget()
    yield folder, forget
    forget()


def changed(package, file, text):
    folder, forget = package
    before = sources.digest("solvers.a")
    (folder / file).write_text(text)
    forget()
    return sources.digest("solvers.a") != before


def test_closure_follows_imports(package):
    assert sources.closure("solvers.a") == {"solvers", "solvers.a", "solvers.b"}
    assert sources.closure("solvers.c") == {"solvers", "solvers.c", "solvers.b"}


def test_a_comment_or_docstring_is_not_a_change(package):
    assert not changed(package, "b.py", '"""New text."""\n\n\ndef f(x):\n    """Say it."""\n    return x + 1  # so\n')


def test_code_of_an_imported_module_is_a_change(package):
    assert changed(package, "b.py", "def f(x):\n    return x + 2\n")


def test_code_of_another_module_is_not(package):
    assert not changed(package, "c.py", "x = 1\n")


def test_a_package_of_its_own_is_followed_and_not_loaded(package, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere/own_physics"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError\n")
    (folder / "waves.py").write_text("import numpy\nfrom . import grid\nfrom .grid import h\nfrom solvers.a import g\n")
    (folder / "grid.py").write_text("h = 1\n")
    monkeypatch.syspath_prepend(folder.parent)
    own = {"own_physics", "own_physics.waves", "own_physics.grid"}
    assert sources.closure("own_physics.waves") == own | {"solvers", "solvers.a", "solvers.b"}
    before = sources.digest("own_physics.waves")
    (folder / "grid.py").write_text("h = 2\n")
    package[1]()
    assert sources.digest("own_physics.waves") != before


def test_the_solvers_do_not_depend_on_networks_nor_the_reverse():
    assert not [m for m in sources.closure("solvers.generate") if m.startswith(("mnn", "workflow"))]
    assert not [m for m in sources.closure("mnn.train") if m.startswith(("workflow", "solvers.nlse", "solvers.wells"))]
    assert "solvers.nlse" not in sources.closure("solvers.generate")
