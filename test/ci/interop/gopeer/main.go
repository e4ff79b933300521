// A service and a client that OpenTelemetry's SDK for Go and otelhttp trace. Lines of JSON on stdin tell it what to do.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type object = map[string]any

var tracer trace.Tracer

func seen(ctx context.Context) object {
	own := trace.SpanContextFromContext(ctx)
	entries := map[string]string{}
	for _, member := range baggage.FromContext(ctx).Members() {
		entries[member.Key()] = member.Value()
	}
	parent := ""
	if span, ok := trace.SpanFromContext(ctx).(sdk.ReadOnlySpan); ok && span.Parent().IsValid() {
		parent = span.Parent().SpanID().String()
	}
	return object{
		"trace_id":       own.TraceID().String(),
		"span_id":        own.SpanID().String(),
		"parent_span_id": parent,
		"trace_flags":    own.TraceFlags().String(),
		"tracestate":     own.TraceState().String(),
		"baggage":        entries,
	}
}

// Tells which span the request that goes out is under.
type listening struct{ client *object }

func (l listening) RoundTrip(request *http.Request) (*http.Response, error) {
	*l.client = seen(request.Context())
	return http.DefaultTransport.RoundTrip(request)
}

func fetch(ctx context.Context, url string) (client object, answer any) {
	request := must(http.NewRequestWithContext(ctx, "GET", url, nil))
	response := must((&http.Client{Transport: otelhttp.NewTransport(listening{&client})}).Do(request))
	defer response.Body.Close()
	check(json.NewDecoder(response.Body).Decode(&answer))
	return client, answer
}

func serve(response http.ResponseWriter, request *http.Request) {
	report := object{"server": seen(request.Context())}
	if url := request.URL.Query().Get("to"); url != "" {
		report["client"], report["answer"] = fetch(request.Context(), url)
	}
	check(json.NewEncoder(response).Encode(report))
}

type command struct {
	Do      string
	Headers map[string]string
	Entries map[string]string
	URL     string
	Message map[string]any
	Ratio   float64
	IDs     []string
}

func (c command) context() context.Context {
	ctx := otel.GetTextMapPropagator().Extract(context.Background(), propagation.MapCarrier(c.Headers))
	entries := baggage.FromContext(ctx)
	for name, value := range c.Entries {
		entries = must(entries.SetMember(must(baggage.NewMemberRaw(name, value))))
	}
	return baggage.ContextWithBaggage(ctx, entries)
}

func (c command) run() object {
	switch c.Do {
	case "call":
		client, answer := fetch(c.context(), c.URL)
		return object{"client": client, "answer": answer}
	case "send":
		ctx, span := tracer.Start(c.context(), "send", trace.WithSpanKind(trace.SpanKindProducer))
		defer span.End()
		fields := propagation.MapCarrier{}
		otel.GetTextMapPropagator().Inject(ctx, fields)
		parts := strings.Split(fields["traceparent"], "-")
		message := object{"trace_id": parts[1], "span_id": parts[2], "trace_flags": parts[3]}
		for _, name := range []string{"tracestate", "baggage"} {
			if value, ok := fields[name]; ok {
				message[name] = value
			}
		}
		return object{"producer": seen(ctx), "message": message}
	case "receive":
		fields := propagation.MapCarrier{}
		for name, value := range c.Message {
			if text, ok := value.(string); ok {
				fields[name] = text
			}
		}
		fields["traceparent"] = strings.Join([]string{"00", fields["trace_id"], fields["span_id"], fields["trace_flags"]}, "-")
		sender := otel.GetTextMapPropagator().Extract(context.Background(), fields)
		ctx, span := tracer.Start(sender, "process", trace.WithSpanKind(trace.SpanKindConsumer))
		defer span.End()
		return object{"consumer": seen(ctx)}
	case "sample":
		sampler := sdk.ParentBased(sdk.TraceIDRatioBased(c.Ratio))
		taken := []bool{}
		for _, id := range c.IDs {
			parameters := sdk.SamplingParameters{ParentContext: context.Background(), Name: "work"}
			must(hex.Decode(parameters.TraceID[:], []byte(id)))
			taken = append(taken, sampler.ShouldSample(parameters).Decision == sdk.RecordAndSample)
		}
		return object{"ratio": taken}
	}
	panic("unknown command " + c.Do)
}

func main() {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	otel.SetTracerProvider(sdk.NewTracerProvider())
	tracer = otel.Tracer("peer")

	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go http.Serve(listener, otelhttp.NewHandler(http.HandlerFunc(serve), "GET"))
	out := json.NewEncoder(os.Stdout)
	check(out.Encode(object{"url": "http://" + listener.Addr().String()}))
	for in := json.NewDecoder(os.Stdin); in.More(); {
		var c command
		check(in.Decode(&c))
		check(out.Encode(c.run()))
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}
