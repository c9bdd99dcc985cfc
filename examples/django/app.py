"""A small shop on Django: durable functions beside ordinary views, in one file.

In development, without keys (two terminals):

    INNGEST_DEV=1 python examples/django/app.py
    INNGEST_DEV=1 python examples/django/app.py stepserve_dev

In production set INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY and, for a server of your own, INNGEST_BASE_URL; leave
INNGEST_DEV away; and serve `application` (gunicorn, in this directory: `gunicorn app`) or `asgi_application`
(`uvicorn app:asgi_application`). HOST and PORT say where to listen. Then place an order:

    curl http://127.0.0.1:8000/orders -H 'content-type: application/json' -d '{"order_id": "A-1", "total": 120}'
"""

import json
import os
import sys
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import stepserve.django
from stepserve import Context, ContextSync, Event, TriggerEvent

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", ":memory:")}},
        INSTALLED_APPS=["stepserve.django"],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY=os.environ.get("SECRET_KEY", "for development only"),
        STEPSERVE={"APP_ID": "django-shop"},
    )
    django.setup()

client = stepserve.django.get_client()


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
def process_order(ctx: ContextSync) -> dict[str, Any]:
    """Take one order from stock to parcel. Each step runs once, whatever happens between them."""
    order_id, total = ctx.event.data["order_id"], ctx.event.data["total"]
    charge = ctx.step.run("charge-card", lambda: f"charged {total}")
    ctx.step.sleep("cooling-off", "1s")
    return {"charge": charge, "shipment": ctx.step.run("ship", lambda: f"shipped {order_id}")}


@client.create_function(fn_id="tell-sales", trigger=TriggerEvent(event="shop/order.created"))
async def tell_sales(ctx: Context) -> str:
    """`async def` works under WSGI too, with any version of Django."""
    return await ctx.step.run("tell-sales", lambda: f"told sales about {ctx.event.data['order_id']}")


@csrf_exempt
def place_order(request: HttpRequest) -> JsonResponse:
    """An ordinary view: the event leaves only if the transaction commits."""
    order = json.loads(request.body)
    with transaction.atomic():
        stepserve.django.send_on_commit(client, Event(name="shop/order.created", data=order))
    return JsonResponse({"order": order["order_id"]})


urlpatterns = [stepserve.django.serve(client, [process_order, tell_sales]), path("orders", place_order)]
application = get_wsgi_application()
asgi_application = get_asgi_application()

if __name__ == "__main__":
    address = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
    execute_from_command_line([__file__, *(sys.argv[1:] or ["runserver", "--noreload", address])])
