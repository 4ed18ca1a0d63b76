"""What Locust's own fast user does with the same request: `locust -f` loads it.

BODY_BYTES in the environment is the size of what it posts.
"""

from __future__ import annotations

import os

from locust import FastHttpUser, task

BODY = os.urandom(int(os.environ.get("BODY_BYTES", "200")))


class StockUser(FastHttpUser):
    """Posts without a pause."""

    @task
    def post(self) -> None:
        """One request."""
        self.client.post("/", data=BODY, headers={"Content-Type": "application/octet-stream"})
