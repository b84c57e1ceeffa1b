"""The contracts: one module a kind, with frozen values, one main Protocol and the handles that it returns."""
