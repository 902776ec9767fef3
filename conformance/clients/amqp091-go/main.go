// amqp091-go: the broker's promises through RabbitMQ's Go client.

package main

import "os"

func main() {
	runChecks(os.Args[1], []check{
		{"hello_world", helloWorld},
		{"work_queues", workQueues},
		{"publish_subscribe", publishSubscribe},
		{"routing", routing},
		{"topics", topics},
		{"rpc", rpc},
		{"publisher_confirms", publisherConfirms},
		{"connect_properties", connectProperties},
		{"wrong_password", wrongPassword},
		{"mandatory_return", mandatoryReturn},
		{"confirm_nack", confirmNack},
		{"prefetch", prefetch},
		{"requeue_redelivers", requeueRedelivers},
		{"dead_letter_rejected", deadLetterRejected},
		{"delayed_retries", delayedRetries},
		{"channel_recovery", channelRecovery},
		{"connection_recovery", connectionRecovery},
		{"direct_reply_to", directReplyTo},
		{"large_message", largeMessage},
		{"transaction", transaction},
		{"headers_exchange", headersExchange},
		{"exchange_binding", exchangeBinding},
		{"alternate_exchange", alternateExchange},
		{"ttl_dead_letter", ttlDeadLetter},
		{"priority_queue", priorityQueue},
		{"exclusive_queue", exclusiveQueue},
		{"inequivalent_declare", inequivalentDeclare},
		{"consumer_cancel_notify", consumerCancelNotify},
		{"basic_recover", basicRecover},
		{"single_active_consumer", singleActiveConsumer},
		{"properties_round_trip", propertiesRoundTrip},
	})
}
