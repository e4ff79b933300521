"""A service and a client that OpenTelemetry's SDK for Python traces. Lines of JSON on stdin tell it what to do."""

import json
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from opentelemetry import baggage, propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace._sampling_experimental import composable_traceid_ratio_based, composite_sampler
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id, set_span_in_context

tracer = TracerProvider().get_tracer("peer")


def seen(span, context):
    own = span.get_span_context()
    return {
        "trace_id": format_trace_id(own.trace_id),
        "span_id": format_span_id(own.span_id),
        # A span that is not recorded does not know.
        "parent_span_id": format_span_id(span.parent.span_id) if getattr(span, "parent", None) else "",
        "trace_flags": f"{own.trace_flags:02x}",
        "tracestate": own.trace_state.to_header(),
        "baggage": dict(baggage.get_all(context)),
    }


def fetch(url, context):
    span = tracer.start_span("call", context, SpanKind.CLIENT)
    headers = {}
    propagate.inject(headers, set_span_in_context(span, context))
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        answer = json.load(response)
    span.end()
    return seen(span, context), answer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        context = propagate.extract(self.headers)
        span = tracer.start_span("GET", context, SpanKind.SERVER)
        report = {"server": seen(span, context)}
        for url in parse_qs(urlsplit(self.path).query).get("to", []):
            report["client"], report["answer"] = fetch(url, set_span_in_context(span, context))
        span.end()
        body = json.dumps(report).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def call(headers, entries, url):
    client, answer = fetch(url, with_baggage(propagate.extract(headers), entries))
    return {"client": client, "answer": answer}


def send(headers, entries):
    context = with_baggage(propagate.extract(headers), entries)
    span = tracer.start_span("send", context, SpanKind.PRODUCER)
    fields = {}
    propagate.inject(fields, set_span_in_context(span, context))
    span.end()
    _, trace_id, span_id, trace_flags = fields.pop("traceparent").split("-")
    message = {"trace_id": trace_id, "span_id": span_id, "trace_flags": trace_flags, **fields}
    return {"producer": seen(span, context), "message": message}


def receive(message):
    fields = {name: message[name] for name in ("tracestate", "baggage") if name in message}
    traceparent = "00-{trace_id}-{span_id}-{trace_flags}".format(**message)
    context = propagate.extract({"traceparent": traceparent, **fields})
    span = tracer.start_span("process", context, SpanKind.CONSUMER)
    span.end()
    return {"consumer": seen(span, context)}


def with_baggage(context, entries):
    for name, value in entries.items():
        context = baggage.set_baggage(name, value, context)
    return context


def sample(ratio, ids):
    """For each trace whether it is taken, and the tracestate by which consistent sampling tells it."""
    results = [ParentBased(TraceIdRatioBased(ratio)).should_sample(None, int(id, 16), "work") for id in ids]
    consistent = composite_sampler(composable_traceid_ratio_based(ratio))
    told = [consistent.should_sample(None, int(id, 16), "work").trace_state for id in ids]
    return {
        "ratio": [result.decision.is_sampled() for result in results],
        "probability": [state.to_header() if state else "" for state in told],
    }


def say(message):
    print(json.dumps(message), flush=True)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
say({"url": f"http://127.0.0.1:{server.server_port}"})
for line in sys.stdin:
    command = json.loads(line)
    say({"call": call, "send": send, "receive": receive, "sample": sample}[command.pop("do")](**command))
