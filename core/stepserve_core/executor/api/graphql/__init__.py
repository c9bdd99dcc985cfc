"""`POST /v0/gql`: the part of upstream's GraphQL API that SDK tests and dashboards use (executor.md 13)."""
