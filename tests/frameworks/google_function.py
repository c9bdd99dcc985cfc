"""The source file that functions-framework loads for the harness: it deploys what was built last."""

from tests.frameworks.google_cloud import deployed

inngest = deployed.pop()
