// The flows of the RabbitMQ tutorials.

package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	must(channel.PublishWithContext(context.Background(), exchange, key, false, false, message))
}

func text(body string) amqp.Publishing { return amqp.Publishing{Body: []byte(body)} }

func persistent(body string) amqp.Publishing {
	return amqp.Publishing{Body: []byte(body), DeliveryMode: amqp.Persistent}
}

func temporaryQueue(channel *amqp.Channel) string {
	return get(channel.QueueDeclare("", false, false, true, false, nil)).Name
}

// take is the next count messages of the queue, acknowledged.
func take(channel *amqp.Channel, queue string, count int) []amqp.Delivery {
	consumer := "take-" + token()
	deliveries := get(channel.Consume(queue, consumer, false, false, false, false, nil))
	messages := make([]amqp.Delivery, 0, count)
	for len(messages) < count {
		messages = append(messages, next(deliveries, "message from "+queue))
	}
	must(channel.Cancel(consumer, false))
	for _, message := range messages {
		must(message.Ack(false))
	}
	for extra := range deliveries {
		fail("one message too many from %s: %s", queue, extra.Body)
	}
	return messages
}

func bodies(messages []amqp.Delivery) []string {
	texts := make([]string, 0, len(messages))
	for _, message := range messages {
		texts = append(texts, string(message.Body))
	}
	return texts
}

func expectEmpty(channel *amqp.Channel, queue string) {
	message, found, err := channel.Get(queue, true)
	must(err)
	if found {
		fail("%s should be empty but holds %q", queue, message.Body)
	}
}

func helloWorld(s *scope) {
	channel := s.channel()
	queue := s.queue(channel, "hello", amqp.Table{"x-queue-type": "quorum"})
	publish(channel, "", queue, text("Hello World!"))
	expect(bodies(take(s.channel(), queue, 1)), []string{"Hello World!"}, "message")
}

func workQueues(s *scope) {
	sender := s.channel()
	queue := s.queue(sender, "task_queue", nil)
	var tasks []string
	for number := range 20 {
		tasks = append(tasks, "task "+strconv.Itoa(number))
	}
	type finished struct {
		worker int
		task   string
	}
	done := make(chan finished, len(tasks))
	for worker := range 2 {
		channel := s.channel()
		must(channel.Qos(1, 0, false))
		deliveries := get(channel.Consume(queue, "", false, false, false, false, nil))
		go func() {
			for message := range deliveries {
				time.Sleep(5 * time.Millisecond)
				done <- finished{worker, string(message.Body)}
				_ = message.Ack(false)
			}
		}()
	}
	for _, task := range tasks {
		publish(sender, "", queue, persistent(task))
	}
	var all []string
	shares := map[int]int{}
	for range tasks {
		one := next(done, "a finished task")
		all = append(all, one.task)
		shares[one.worker]++
	}
	slices.Sort(all)
	slices.Sort(tasks)
	expect(all, tasks, "finished tasks")
	expect(len(shares), 2, "workers that got tasks")
}

func publishSubscribe(s *scope) {
	channel := s.channel()
	exchange := s.exchange(channel, "logs", "fanout", nil)
	queues := []string{temporaryQueue(channel), temporaryQueue(channel)}
	for _, queue := range queues {
		must(channel.QueueBind(queue, "", exchange, false, nil))
	}
	publish(channel, exchange, "", text("info: Hello World!"))
	for _, queue := range queues {
		expect(bodies(take(channel, queue, 1)), []string{"info: Hello World!"}, "message")
	}
}

func routing(s *scope) {
	channel := s.channel()
	exchange := s.exchange(channel, "direct_logs", "direct", nil)
	errors, everything := temporaryQueue(channel), temporaryQueue(channel)
	must(channel.QueueBind(errors, "error", exchange, false, nil))
	for _, severity := range []string{"info", "warning", "error"} {
		must(channel.QueueBind(everything, severity, exchange, false, nil))
	}
	for _, severity := range []string{"info", "warning", "error", "debug"} {
		publish(channel, exchange, severity, text(severity))
	}
	expect(bodies(take(channel, errors, 1)), []string{"error"}, "errors")
	expect(bodies(take(channel, everything, 3)), []string{"info", "warning", "error"}, "everything")
}

func topics(s *scope) {
	channel := s.channel()
	exchange := s.exchange(channel, "topic_logs", "topic", nil)
	patterns := map[string][]string{
		"#":          {"kern.critical", "kern.info.disk", "auth.critical"},
		"kern.*":     {"kern.critical"},
		"kern.#":     {"kern.critical", "kern.info.disk"},
		"*.critical": {"kern.critical", "auth.critical"},
	}
	queues := map[string]string{}
	for pattern := range patterns {
		queues[pattern] = temporaryQueue(channel)
		must(channel.QueueBind(queues[pattern], pattern, exchange, false, nil))
	}
	for _, key := range patterns["#"] {
		publish(channel, exchange, key, text(key))
	}
	for pattern, wanted := range patterns {
		expect(bodies(take(channel, queues[pattern], len(wanted))), wanted, pattern)
		expectEmpty(channel, queues[pattern])
	}
}

func fibonacci(number int) int {
	if number < 2 {
		return number
	}
	return fibonacci(number-1) + fibonacci(number-2)
}

func rpc(s *scope) {
	server, client := s.channel(), s.channel()
	requests := s.queue(server, "rpc_queue", nil)
	must(server.Qos(1, 0, false))
	calls := get(server.Consume(requests, "", false, false, false, false, nil))
	go func() {
		for call := range calls {
			number, _ := strconv.Atoi(string(call.Body))
			answer := text(strconv.Itoa(fibonacci(number)))
			answer.CorrelationId = call.CorrelationId
			_ = server.PublishWithContext(context.Background(), "", call.ReplyTo, false, false, answer)
			_ = call.Ack(false)
		}
	}()
	replies := temporaryQueue(client)
	answers := get(client.Consume(replies, "", true, false, false, false, nil))
	found := map[string]string{}
	for _, number := range []string{"10", "15"} {
		call := text(number)
		call.ReplyTo, call.CorrelationId = replies, "call-"+number
		publish(client, "", requests, call)
	}
	for range 2 {
		answer := next(answers, "an answer")
		found[answer.CorrelationId] = string(answer.Body)
	}
	expect(found, map[string]string{"call-10": "55", "call-15": "610"}, "answers")
}

func publisherConfirms(s *scope) {
	channel := s.confirmChannel()
	queue := s.queue(channel, "confirmed", nil)
	var confirms []*amqp.DeferredConfirmation
	var wanted []string
	for number := range 500 {
		wanted = append(wanted, strconv.Itoa(number))
		confirm := get(channel.PublishWithDeferredConfirmWithContext(
			context.Background(), "", queue, false, false, persistent(wanted[number])))
		confirms = append(confirms, confirm)
	}
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for number, confirm := range confirms {
		if !get(confirm.WaitContext(limit)) {
			fail("message %d was not confirmed", number)
		}
	}
	state := get(channel.QueueDeclarePassive(queue, true, false, false, false, nil))
	expect(state.Messages, 500, "messages after the confirms")
	expect(bodies(take(channel, queue, 500)), wanted, "messages in order")
}
