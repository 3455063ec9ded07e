"""Tests of the rules that name an expectation."""

from data_contracts.quality import _ROW_EXPECTATIONS
from tasks.validation.custom_rule import judges_rows


def test_names_tell_which_expectations_judge_rows() -> None:
    """The contract is compiled without the library, by how the names begin: here they are held
    against its classes.
    """
    import great_expectations.expectations  # noqa: F401 - fills the registry
    from great_expectations.expectations import registry

    names = registry.list_registered_expectation_implementations()
    kinds = {name: judges_rows(registry.get_expectation_impl(name)) for name in names}

    assert len(kinds) > 50
    assert {name for name, rows in kinds.items() if rows} == {
        name for name in kinds if name.startswith(_ROW_EXPECTATIONS)
    }
