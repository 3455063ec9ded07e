"""The rules that only an engine can compile, compiled without data: so that they are refused at
load, by name.
"""

from __future__ import annotations

from data_contracts.contract import Contract


def check_rules(contract: Contract) -> None:
    """Raise ContractError for a query that does not bind, or an expectation or argument that there
    is none of.

    Costs the import of an engine, and that only when the contract has a rule for it.
    """
    for rule in contract.rules:
        if rule.check == "sql":
            from tasks.validation.sql_rule import check_query

            check_query(rule, contract)
        elif rule.check == "custom":
            from tasks.validation.custom_rule import custom_expectation

            custom_expectation(rule, rule.arguments["kwargs"], contract)
