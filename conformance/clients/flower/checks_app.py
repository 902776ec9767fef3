"""The Celery application that Flower looks at: one queue, and no worker."""

import os

from celery import Celery

app = Celery("checks", broker=os.environ["CHECK_URI"])
app.conf.task_default_queue = os.environ["CHECK_QUEUE"]
