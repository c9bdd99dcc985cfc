"""The REST API under `/v2` and `/api/v2`: camelCase JSON, `{data, metadata, page?}` or `{errors}` (executor.md 1.6)."""
