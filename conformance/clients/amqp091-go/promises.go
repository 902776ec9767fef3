// What applications rely on beyond the tutorials: settling, errors and recovery, limits, and messages unchanged.

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func connectProperties(s *scope) {
	connection := s.connectWith(amqp.Config{
		Heartbeat:  7 * time.Second,
		FrameSize:  16384,
		ChannelMax: 20,
		Locale:     "en_US",
		Properties: amqp.Table{"connection_name": s.name("connection"), "answer": int32(42)},
	})
	expect(connection.Config.Heartbeat, 7*time.Second, "heartbeat")
	expect(connection.Config.FrameSize, 16384, "frame size")
	expect(connection.Config.ChannelMax, uint16(20), "channel max")
	expect(connection.Properties["product"], "RabbitMQ", "product")
	capabilities, _ := connection.Properties["capabilities"].(amqp.Table)
	for _, name := range []string{"publisher_confirms", "exchange_exchange_bindings", "basic.nack",
		"consumer_cancel_notify", "connection.blocked", "consumer_priorities", "authentication_failure_close",
		"per_consumer_qos", "direct_reply_to"} {
		expect(capabilities[name], true, name)
	}
	must(connection.UpdateSecret(get(amqp.ParseURI(s.uri)).Password, "a check"))
}

func wrongPassword(s *scope) {
	connection, err := amqp.DialConfig(s.uri, amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "guest", Password: "wrong"}},
	})
	if err == nil {
		_ = connection.Close()
		fail("a wrong password was accepted")
	}
	expectError(err, amqp.AccessRefused, "username or password not allowed")
}

func mandatoryReturn(s *scope) {
	channel := s.confirmChannel()
	exchange := s.exchange(channel, "no_bindings", "direct", nil)
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	message := text("lost")
	message.MessageId = "m"
	confirm := get(channel.PublishWithDeferredConfirmWithContext(
		context.Background(), exchange, "nowhere", true, false, message))
	returned := next(returns, "the return")
	expect(returned.ReplyCode, uint16(amqp.NoRoute), "reply code")
	expect(returned.ReplyText, "NO_ROUTE", "reply text")
	expect([]string{returned.Exchange, returned.RoutingKey, returned.MessageId, string(returned.Body)},
		[]string{exchange, "nowhere", "m", "lost"}, "returned message")
	expect(confirm.Wait(), true, "confirm")
}

func confirmNack(s *scope) {
	channel := s.confirmChannel()
	queue := s.queue(channel, "full", amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	for _, one := range []struct {
		body string
		ack  bool
	}{{"fits", true}, {"too much", false}} {
		confirm := get(channel.PublishWithDeferredConfirmWithContext(
			context.Background(), "", queue, false, false, text(one.body)))
		expect(confirm.Wait(), one.ack, one.body)
	}
	expect(bodies(take(channel, queue, 1)), []string{"fits"}, "messages")
}

func prefetch(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "prefetch", nil)
	for range 10 {
		publish(channel, "", queue, text("x"))
	}
	must(channel.Qos(3, 0, false))
	deliveries := get(channel.Consume(queue, "", false, false, false, false, nil))
	expectTags := func(tags ...uint64) {
		for _, tag := range tags {
			expect(next(deliveries, "a delivery").DeliveryTag, tag, "delivery tag")
		}
		select {
		case extra := <-deliveries:
			fail("delivery %d is beyond the prefetch", extra.DeliveryTag)
		case <-time.After(200 * time.Millisecond):
		}
	}
	expectTags(1, 2, 3)
	must(channel.Ack(2, true))
	expectTags(4, 5)
}

func requeueRedelivers(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "requeue", nil)
	publish(channel, "", queue, text("first"))
	publish(channel, "", queue, text("second"))
	message, _, err := channel.Get(queue, false)
	must(err)
	expect(message.Redelivered, false, "redelivered at first")
	must(message.Nack(false, true))
	again := take(channel, queue, 2)
	expect(bodies(again), []string{"first", "second"}, "order")
	expect([]bool{again[0].Redelivered, again[1].Redelivered}, []bool{true, false}, "redelivered")
}

func deadLetterRejected(s *scope) {
	channel := s.channel()
	exchange := s.exchange(channel, "dlx", "fanout", nil)
	dead := s.queue(channel, "dead", nil)
	must(channel.QueueBind(dead, "", exchange, false, nil))
	queue := s.queue(channel, "source", amqp.Table{"x-dead-letter-exchange": exchange})
	message := text("bad")
	message.Headers = amqp.Table{"kept": "yes"}
	publish(channel, "", queue, message)
	rejected, found, err := channel.Get(queue, false)
	must(err)
	expect(found, true, "a message to reject")
	must(rejected.Nack(false, false))
	died := take(channel, dead, 1)[0]
	expect([]string{died.Exchange, died.RoutingKey, string(died.Body)}, []string{exchange, queue, "bad"}, "dead letter")
	deaths, _ := died.Headers["x-death"].([]any)
	expect(len(deaths), 1, "deaths")
	death, _ := deaths[0].(amqp.Table)
	if _, is := death["time"].(time.Time); !is {
		fail("x-death has no time: %v", death)
	}
	delete(death, "time")
	expect(death, amqp.Table{"count": int64(1), "reason": "rejected", "queue": queue, "exchange": "",
		"routing-keys": []any{queue}}, "x-death")
	expect([]any{died.Headers["x-first-death-queue"], died.Headers["x-last-death-reason"], died.Headers["kept"]},
		[]any{queue, "rejected", "yes"}, "headers")
}

// What comes back waits, for longer each time that it failed, and others are there meanwhile.
func delayedRetries(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "retrying", amqp.Table{"x-queue-type": "quorum", "x-delayed-retry-type": "all",
		"x-delayed-retry-min": 200, "x-delayed-retry-max": 60000})
	must(channel.Qos(1, 0, false))
	deliveries := get(channel.Consume(queue, "", false, false, false, false, nil))
	publish(channel, "", queue, text("first"))
	publish(channel, "", queue, text("second"))
	first := next(deliveries, "the first message")
	expect(string(first.Body), "first", "message")
	since := time.Now()
	must(first.Nack(false, true))
	second := next(deliveries, "the second message")
	expect(string(second.Body), "second", "message while the first one waits")
	must(second.Ack(false))
	for _, least := range []time.Duration{200, 200, 400} {
		first = next(deliveries, "the first message again")
		expect(first.Redelivered, true, "redelivered")
		if waited := time.Since(since); waited < (least-10)*time.Millisecond {
			fail("it came back after %v, before %d ms", waited, least)
		}
		since = time.Now()
		must(first.Reject(true))
	}
	first = next(deliveries, "the first message at last")
	expect(first.Headers["x-delivery-count"], int64(3), "failures")
	must(first.Ack(false))
}

func channelRecovery(s *scope) {
	connection := s.connect()
	channel := get(connection.Channel())
	missing := s.name("missing")
	_, err := channel.QueueDeclarePassive(missing, true, false, false, false, nil)
	expectError(err, amqp.NotFound, "NOT_FOUND - no queue '"+missing+"' in vhost '/'")
	expect([]bool{channel.IsClosed(), connection.IsClosed()}, []bool{true, false}, "channel and connection closed")
	channel = get(connection.Channel())
	queue := s.queue(channel, "after", nil)
	publish(channel, "", queue, text("still here"))
	expect(bodies(take(channel, queue, 1)), []string{"still here"}, "messages")
}

func connectionRecovery(s *scope) {
	connection := s.connect()
	channel := get(connection.Channel())
	must(channel.Confirm(false))
	queue := s.queue(channel, "survivor", nil)
	confirm := get(channel.PublishWithDeferredConfirmWithContext(
		context.Background(), "", queue, false, false, persistent("kept")))
	expect(confirm.Wait(), true, "confirm")
	deliveries := get(channel.Consume(queue, "", false, false, false, false, nil))
	expect(next(deliveries, "the delivery").Redelivered, false, "redelivered at first")
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	must(channel.PublishWithContext(context.Background(), "", queue, false, true, text("immediate")))
	expectError(next(closed, "the connection error"), amqp.NotImplemented, "NOT_IMPLEMENTED - immediate=true")
	again := take(s.channel(), queue, 1)
	expect(bodies(again), []string{"kept"}, "messages after the reconnect")
	expect(again[0].Redelivered, true, "redelivered")
}

func directReplyTo(s *scope) {
	const pseudo = "amq.rabbitmq.reply-to"
	server, client := s.channel(), s.channel()
	requests := s.queue(server, "requests", nil)
	answers := get(client.Consume(pseudo, "", true, false, false, false, nil))
	call := text("ping")
	call.ReplyTo, call.CorrelationId = pseudo, "c-1"
	publish(client, "", requests, call)
	received := take(server, requests, 1)[0]
	if !strings.HasPrefix(received.ReplyTo, pseudo+".") {
		fail("reply-to is %q", received.ReplyTo)
	}
	answer := text("pong")
	answer.CorrelationId = received.CorrelationId
	publish(server, "", received.ReplyTo, answer)
	got := next(answers, "the answer")
	expect([]string{string(got.Body), got.CorrelationId}, []string{"pong", "c-1"}, "answer")
}

func largeMessage(s *scope) {
	channel := s.confirmChannel()
	queue := s.queue(channel, "large", nil)
	body := make([]byte, 1<<20)
	get(rand.Read(body))
	for _, content := range [][]byte{body, {}} {
		confirm := get(channel.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, false, false,
			amqp.Publishing{Body: content, DeliveryMode: amqp.Persistent}))
		expect(confirm.Wait(), true, "confirm")
	}
	received := take(channel, queue, 2)
	expect(bytes.Equal(received[0].Body, body), true, "the body of 1 MiB is unchanged")
	expect(len(received[1].Body), 0, "length of the empty body")
}

func transaction(s *scope) {
	channel, other := s.channel(), s.channel()
	queue := s.queue(channel, "tx", nil)
	must(channel.Tx())
	publish(channel, "", queue, text("rolled back"))
	must(channel.TxRollback())
	publish(channel, "", queue, text("committed"))
	expectEmpty(other, queue)
	must(channel.TxCommit())
	message, found, err := channel.Get(queue, false)
	must(err)
	expect(found, true, "a message after the commit")
	expect(string(message.Body), "committed", "message")
	must(message.Ack(false))
	must(channel.TxRollback())
	must(message.Ack(false))
	must(channel.TxCommit())
	must(channel.Close())
	expectEmpty(other, queue)
}

func headersExchange(s *scope) {
	channel := s.channel()
	exchange := s.exchange(channel, "headers", "headers", nil)
	both, either := temporaryQueue(channel), temporaryQueue(channel)
	for match, queue := range map[string]string{"all": both, "any": either} {
		must(channel.QueueBind(queue, "", exchange, false, amqp.Table{"x-match": match, "format": "pdf", "pages": int32(3)}))
	}
	send := func(body string, headers amqp.Table) {
		message := text(body)
		message.Headers = headers
		publish(channel, exchange, "", message)
	}
	send("both", amqp.Table{"format": "pdf", "pages": int32(3)})
	send("format", amqp.Table{"format": "pdf", "pages": int32(4)})
	send("none", amqp.Table{"format": "zip"})
	expect(bodies(take(channel, both, 1)), []string{"both"}, "all")
	expect(bodies(take(channel, either, 2)), []string{"both", "format"}, "any")
	expectEmpty(channel, both)
}

func exchangeBinding(s *scope) {
	channel := s.channel()
	source := s.exchange(channel, "source", "topic", nil)
	destination := s.exchange(channel, "destination", "fanout", nil)
	queue := temporaryQueue(channel)
	must(channel.QueueBind(queue, "", destination, false, nil))
	must(channel.ExchangeBind(destination, "a.#", source, false, nil))
	publish(channel, source, "a.b", text("through"))
	publish(channel, source, "b.a", text("not"))
	expect(bodies(take(channel, queue, 1)), []string{"through"}, "messages")
	must(channel.ExchangeUnbind(destination, "a.#", source, false, nil))
	publish(channel, source, "a.b", text("unbound"))
	expectEmpty(channel, queue)
}

func alternateExchange(s *scope) {
	channel := s.channel()
	spare := s.exchange(channel, "spare", "fanout", nil)
	exchange := s.exchange(channel, "main", "direct", amqp.Table{"alternate-exchange": spare})
	queue := temporaryQueue(channel)
	must(channel.QueueBind(queue, "", spare, false, nil))
	publish(channel, exchange, "unbound", text("caught"))
	expect(bodies(take(channel, queue, 1)), []string{"caught"}, "messages")
}

func ttlDeadLetter(s *scope) {
	channel := s.channel()
	dead := s.queue(channel, "dead", nil)
	queue := s.queue(channel, "ttl", amqp.Table{
		"x-message-ttl": int32(100), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	publish(channel, "", queue, text("by queue"))
	short := text("by message")
	short.Expiration = "50"
	publish(channel, "", queue, short)
	originals := map[string]any{}
	for _, message := range take(channel, dead, 2) {
		deaths, _ := message.Headers["x-death"].([]any)
		expect(len(deaths), 1, "deaths")
		death, _ := deaths[0].(amqp.Table)
		expect([]any{death["reason"], death["queue"], death["count"]}, []any{"expired", queue, int64(1)}, "x-death")
		expect(message.Expiration, "", "expiration after death")
		originals[string(message.Body)] = death["original-expiration"]
	}
	expect(originals, map[string]any{"by queue": nil, "by message": "50"}, "original-expiration")
}

func priorityQueue(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "priority", amqp.Table{"x-max-priority": int32(10)})
	for _, one := range []struct {
		body     string
		priority uint8
	}{{"low", 1}, {"middle", 5}, {"none", 0}, {"high", 10}, {"middle again", 5}, {"beyond", 200}} {
		message := text(one.body)
		message.Priority = one.priority
		publish(channel, "", queue, message)
	}
	expect(bodies(take(channel, queue, 6)), []string{"high", "beyond", "middle", "middle again", "low", "none"}, "order")
}

func exclusiveQueue(s *scope) {
	owner := s.connect()
	queue := s.name("exclusive")
	get(get(owner.Channel()).QueueDeclare(queue, false, false, true, false, nil))
	_, err := s.channel().QueueDeclarePassive(queue, false, false, true, false, nil)
	expectError(err, amqp.ResourceLocked, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue")
	must(owner.Close())
	_, err = s.channel().QueueDeclarePassive(queue, false, false, true, false, nil)
	expectError(err, amqp.NotFound, "no queue")
}

func inequivalentDeclare(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "declared", amqp.Table{"x-max-length": int32(5)})
	get(channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": int64(5)}))
	_, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": int32(6)})
	expectError(err, amqp.PreconditionFailed, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue")
}

func consumerCancelNotify(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "doomed", nil)
	cancels := channel.NotifyCancel(make(chan string, 1))
	get(channel.Consume(queue, "watcher", false, false, false, false, nil))
	get(s.channel().QueueDelete(queue, false, false, false))
	expect(next(cancels, "the cancellation"), "watcher", "cancelled consumer")
}

func basicRecover(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "recover", nil)
	publish(channel, "", queue, text("again"))
	deliveries := get(channel.Consume(queue, "", false, false, false, false, nil))
	expect(next(deliveries, "the delivery").Redelivered, false, "redelivered at first")
	must(channel.Recover(true))
	expect(next(deliveries, "the redelivery").Redelivered, true, "redelivered")
}

func singleActiveConsumer(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "single", amqp.Table{"x-single-active-consumer": true})
	first := get(channel.Consume(queue, "first", true, false, false, false, nil))
	second := get(s.channel().Consume(queue, "second", true, false, false, false, nil))
	publish(channel, "", queue, text("one"))
	publish(channel, "", queue, text("two"))
	expect(string(next(first, "a delivery to the active consumer").Body), "one", "first message")
	expect(string(next(first, "a delivery to the active consumer").Body), "two", "second message")
	must(channel.Cancel("first", false))
	publish(channel, "", queue, text("three"))
	expect(string(next(second, "a delivery after the takeover").Body), "three", "third message")
}

func propertiesRoundTrip(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "properties", nil)
	when := time.Unix(1700000000, 0)
	sent := amqp.Publishing{
		ContentType: "application/json", ContentEncoding: "gzip", DeliveryMode: amqp.Persistent, Priority: 9,
		CorrelationId: "correlation", ReplyTo: "reply", Expiration: "60000", MessageId: "id", Timestamp: when,
		Type: "kind", UserId: get(amqp.ParseURI(s.uri)).Username, AppId: "app", Body: []byte("x"),
		Headers: amqp.Table{
			"text": "grüße", "bytes": []byte{0, 255}, "true": true, "int8": int8(-3), "int16": int16(-300), "int32": int32(-7),
			"int64": int64(1) << 40, "float32": float32(0.5), "float64": 2.5, "decimal": amqp.Decimal{Scale: 2, Value: 314},
			"when": when, "nothing": nil, "table": amqp.Table{"deep": amqp.Table{"list": []any{int32(1), "two", nil}}},
			"array": []any{true, "x", amqp.Table{"y": int32(1)}}, "empty": amqp.Table{},
		},
	}
	publish(channel, "", queue, sent)
	received := take(channel, queue, 1)[0]
	expect(amqp.Publishing{
		Headers: received.Headers, ContentType: received.ContentType, ContentEncoding: received.ContentEncoding,
		DeliveryMode: received.DeliveryMode, Priority: received.Priority, CorrelationId: received.CorrelationId,
		ReplyTo: received.ReplyTo, Expiration: received.Expiration, MessageId: received.MessageId,
		Timestamp: received.Timestamp, Type: received.Type, UserId: received.UserId, AppId: received.AppId,
		Body: received.Body,
	}, sent, "message")
}
