<?php

/**
 * php-amqplib: the broker's promises through the PHP client, with the delay queues of Laravel's driver for it.
 */

declare(strict_types=1);

require_once __DIR__ . '/scope.php';

use PhpAmqpLib\Exception\AMQPBasicCancelException;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to';
const PERSISTENT = ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT];

function connect_properties(Scope $scope): void
{
    $config = $scope->config();
    $config->setConnectionName($scope->name('connection'));
    $connection = $scope->connect($config);
    $server = $connection->getServerProperties();
    expect($server['product'][1], 'RabbitMQ', 'product');
    $capabilities = $server['capabilities'][1];
    foreach (['publisher_confirms', 'basic.nack', 'consumer_cancel_notify', 'connection.blocked'] as $name) {
        expect((bool) $capabilities[$name][1], true, $name);
    }
    expect($connection->getHeartbeat(), 30, 'heartbeat');
    expect($connection->channel()->is_open(), true, 'channel open');
}

function wrong_password(Scope $scope): void
{
    $config = $scope->config();
    $config->setPassword('not the password');
    $error = refusal(AMQPConnectionClosedException::class, fn () => $scope->connect($config));
    expect($error->getCode(), 403, 'reply code');
    expect(str_starts_with($error->getMessage(), 'ACCESS_REFUSED'), true, $error->getMessage());
}

function amqplain(Scope $scope): void
{
    $config = $scope->config();
    $config->setLoginMethod('AMQPLAIN');
    expect($scope->connect($config)->isConnected(), true, 'connected');
}

function publisher_confirms(Scope $scope): void
{
    $channel = $scope->confirmChannel();
    $queue = $scope->queue($channel, 'confirmed');
    $acked = 0;
    $channel->set_ack_handler(function () use (&$acked) {
        $acked++;
    });
    for ($number = 0; $number < 100; $number++) {
        publish($channel, '', $queue, (string) $number, PERSISTENT);
    }
    $channel->wait_for_pending_acks(PATIENCE);
    expect($acked, 100, 'confirms');
    expect(bodies(take($channel, $queue, 100)), array_map('strval', range(0, 99)), 'order');
}

function mandatory_return(Scope $scope): void
{
    $channel = $scope->confirmChannel();
    $exchange = $scope->exchange($channel, 'no_bindings', 'direct');
    $told = [];
    $channel->set_return_listener(function (int $code, string $text, string $from, string $key, $message) use (&$told) {
        $told[] = [$code, $text, $from, $key, $message->getBody()];
    });
    $channel->set_ack_handler(function () use (&$told) {
        $told[] = 'ack';
    });
    $channel->basic_publish(new AMQPMessage('lost'), $exchange, 'nowhere', true);
    $channel->wait_for_pending_acks_returns(PATIENCE);
    expect($told, [[312, 'NO_ROUTE', $exchange, 'nowhere', 'lost'], 'ack'], 'return and ack');
}

function confirm_nack(Scope $scope): void
{
    $channel = $scope->confirmChannel();
    $queue = $scope->queue($channel, 'full', ['x-max-length' => 1, 'x-overflow' => 'reject-publish']);
    $told = [];
    $channel->set_ack_handler(function (AMQPMessage $message) use (&$told) {
        $told[] = 'ack ' . $message->getBody();
    });
    $channel->set_nack_handler(function (AMQPMessage $message) use (&$told) {
        $told[] = 'nack ' . $message->getBody();
    });
    foreach (['fits', 'too much'] as $body) {
        publish($channel, '', $queue, $body);
        $channel->wait_for_pending_acks(PATIENCE);
    }
    expect($told, ['ack fits', 'nack too much'], 'confirms');
    expect(bodies(take($channel, $queue, 1)), ['fits']);
}

function prefetch(Scope $scope): void
{
    $channel = $scope->channel();
    $queue = $scope->queue($channel, 'prefetch');
    for ($number = 0; $number < 10; $number++) {
        publish($channel, '', $queue, (string) $number);
    }
    $tags = [];
    $channel->basic_qos(0, 3, false);
    $channel->basic_consume($queue, callback: function (AMQPMessage $message) use (&$tags) {
        $tags[] = $message->getDeliveryTag();
    });
    settle($channel);
    expect($tags, [1, 2, 3], 'deliveries before an ack');
    $channel->basic_ack(2, true);
    settle($channel);
    expect($tags, [1, 2, 3, 4, 5], 'deliveries after two acks');
}

function dead_letter_rejected(Scope $scope): void
{
    $channel = $scope->channel();
    $exchange = $scope->exchange($channel, 'dlx', 'direct');
    $dead = $scope->queue($channel, 'dead');
    $channel->queue_bind($dead, $exchange, 'rejected-here');
    $queue = $scope->queue($channel, 'source', [
        'x-dead-letter-exchange' => $exchange,
        'x-dead-letter-routing-key' => 'rejected-here',
    ]);
    publish($channel, '', $queue, 'bad', ['application_headers' => new AMQPTable(['kept' => 'yes'])]);
    $channel->basic_get($queue)->nack();
    [$died] = take($channel, $dead, 1);
    expect([$died->getExchange(), $died->getRoutingKey(), $died->getBody()], [$exchange, 'rejected-here', 'bad']);
    $headers = $died->get('application_headers')->getNativeData();
    expect($headers['kept'], 'yes');
    expect(count($headers['x-death']), 1, 'deaths');
    $death = $headers['x-death'][0];
    expect(abs($death['time']->getTimestamp() - time()) < 60, true, 'time of death');
    unset($death['time']);
    ksort($death);
    $wanted = ['count' => 1, 'exchange' => '', 'queue' => $queue, 'reason' => 'rejected', 'routing-keys' => [$queue]];
    expect($death, $wanted, 'x-death');
}

function requeue_redelivers(Scope $scope): void
{
    $channel = $scope->channel();
    $queue = $scope->queue($channel, 'requeue');
    publish($channel, '', $queue, 'again');
    $message = $channel->basic_get($queue);
    expect($message->isRedelivered(), false, 'redelivered');
    $message->nack(true);
    [$message] = take($channel, $queue, 1);
    expect([$message->getBody(), $message->isRedelivered()], ['again', true]);
}

function channel_recovery(Scope $scope): void
{
    $connection = $scope->connect();
    $missing = $scope->name('missing');
    $channel = $connection->channel();
    $error = refusal(AMQPProtocolChannelException::class, fn () => $channel->queue_declare($missing, true));
    expect($error->amqp_reply_code, 404, 'reply code');
    expect($error->amqp_reply_text, "NOT_FOUND - no queue '$missing' in vhost '/'");
    expect($error->amqp_method_sig, [50, 10], 'class and method');
    $channel = $connection->channel();
    $queue = $scope->queue($channel, 'after');
    publish($channel, '', $queue, 'still here');
    expect(bodies(take($channel, $queue, 1)), ['still here']);
}

/** The library reconnects on request, with the same settings. */
function connection_recovery(Scope $scope): void
{
    $connection = $scope->connect();
    $channel = $connection->channel();
    $queue = $scope->queue($channel, 'survivor');
    $channel->confirm_select();
    publish($channel, '', $queue, 'kept', PERSISTENT);
    $channel->wait_for_pending_acks(PATIENCE);
    expect($channel->basic_get($queue)->isRedelivered(), false, 'redelivered');
    $error = refusal(AMQPConnectionClosedException::class, fn () => $channel->basic_qos(1, 0, false));
    expect($error->getCode(), 540, 'reply code');
    expect($connection->isConnected(), false, 'connected');
    $connection->reconnect();
    [$message] = take($connection->channel(), $queue, 1);
    expect([$message->getBody(), $message->isRedelivered()], ['kept', true]);
}

function direct_reply_to(Scope $scope): void
{
    [$server, $client] = [$scope->channel(), $scope->channel()];
    $requests = $scope->queue($server, 'requests');
    $answers = [];
    $client->basic_consume(DIRECT_REPLY_TO, no_ack: true, callback: function (AMQPMessage $answer) use (&$answers) {
        $answers[] = [$answer->get('correlation_id'), $answer->getBody()];
    });
    publish($client, '', $requests, 'ping', ['reply_to' => DIRECT_REPLY_TO, 'correlation_id' => 'c-1']);
    [$request] = take($server, $requests, 1);
    $replyTo = $request->get('reply_to');
    expect(str_starts_with($replyTo, DIRECT_REPLY_TO . '.'), true, $replyTo);
    publish($server, '', $replyTo, 'pong', ['correlation_id' => $request->get('correlation_id')]);
    $client->wait(null, false, PATIENCE);
    expect($answers, [['c-1', 'pong']]);
}

function large_message(Scope $scope): void
{
    $channel = $scope->confirmChannel();
    $queue = $scope->queue($channel, 'large');
    $body = random_bytes(1 << 20);
    publish($channel, '', $queue, $body, PERSISTENT);
    publish($channel, '', $queue, '', PERSISTENT);
    $channel->wait_for_pending_acks(PATIENCE);
    [$large, $empty] = take($channel, $queue, 2);
    expect(md5($large->getBody()), md5($body), 'digest of 1 MiB');
    expect($empty->getBody(), '', 'empty body');
}

function batch_publish(Scope $scope): void
{
    $channel = $scope->channel();
    $queue = $scope->queue($channel, 'batch');
    for ($number = 0; $number < 50; $number++) {
        $channel->batch_basic_publish(new AMQPMessage((string) $number), '', $queue);
    }
    $channel->publish_batch();
    expect(bodies(take($channel, $queue, 50)), array_map('strval', range(0, 49)), 'order');
}

function transaction(Scope $scope): void
{
    [$channel, $other] = [$scope->channel(), $scope->channel()];
    $queue = $scope->queue($channel, 'tx');
    $channel->tx_select();
    publish($channel, '', $queue, 'rolled back');
    $channel->tx_rollback();
    publish($channel, '', $queue, 'committed');
    nothingIn($other, $queue);
    $channel->tx_commit();
    expect(bodies(take($other, $queue, 1)), ['committed']);
    nothingIn($other, $queue);
}

function routing(Scope $scope): void
{
    $channel = $scope->channel();
    $topics = $scope->exchange($channel, 'topics', 'topic');
    $headers = $scope->exchange($channel, 'headers', 'headers');
    [$orange, $pdf] = [temporaryQueue($channel), temporaryQueue($channel)];
    $channel->queue_bind($orange, $topics, '*.orange.#');
    $channel->queue_bind($pdf, $headers, '', false, new AMQPTable(['x-match' => 'all', 'format' => 'pdf']));
    $channel->exchange_bind($headers, $topics, 'doc.#');
    $pdfHeader = ['application_headers' => new AMQPTable(['format' => 'pdf'])];
    publish($channel, $topics, 'quick.orange', 'orange');
    publish($channel, $topics, 'quick.green', 'nothing');
    publish($channel, $topics, 'doc.new', 'a pdf', $pdfHeader);
    publish($channel, $topics, 'other.new', 'not a doc', $pdfHeader);
    expect(bodies(take($channel, $orange, 1)), ['orange']);
    expect(bodies(take($channel, $pdf, 1)), ['a pdf']);
    nothingIn($channel, $orange);
    nothingIn($channel, $pdf);
}

/** As Laravel's driver delays a job: a queue for each delay, which expires itself and dies back into the job's queue. */
function laravel_delay_queue(Scope $scope): void
{
    $channel = $scope->channel();
    $probe = fn (string $name) => refusal(
        AMQPProtocolChannelException::class,
        fn () => $scope->channel()->queue_declare($name, true)
    )->amqp_reply_code;
    expect($probe($scope->name('jobs')), 404, 'probe for the queue');
    $jobs = $scope->queue($channel, 'jobs', ['x-max-priority' => 2]);
    $delayed = $scope->queue($channel, 'jobs.delay.100', [
        'x-dead-letter-exchange' => '',
        'x-dead-letter-routing-key' => $jobs,
        'x-message-ttl' => 100,
        'x-expires' => 200,
    ]);
    publish($channel, '', $delayed, '{"job":"later"}', PERSISTENT);
    expect($channel->basic_get($jobs), null, 'job before its time');
    [$job] = take($channel, $jobs, 1);
    expect($job->getBody(), '{"job":"later"}');
    $death = $job->get('application_headers')->getNativeData()['x-death'][0];
    expect([$death['reason'], $death['queue']], ['expired', $delayed]);
    for ($deadline = microtime(true) + PATIENCE; ; usleep(20000)) {
        try {
            $scope->channel()->queue_declare($delayed, true);
        } catch (AMQPProtocolChannelException $gone) {
            expect($gone->amqp_reply_code, 404, 'probe for the delay queue');
            return;
        }
        expect(microtime(true) < $deadline, true, 'the delay queue expires');
        // Each probe is a use of the queue, which has to rest to expire.
        usleep(300000);
    }
}

function exclusive_queue(Scope $scope): void
{
    $owner = $scope->channel();
    $queue = temporaryQueue($owner);
    $other = fn () => $scope->channel()->queue_declare($queue, true);
    expect(refusal(AMQPProtocolChannelException::class, $other)->amqp_reply_code, 405, 'reply code');
    $owner->getConnection()->close();
    expect(refusal(AMQPProtocolChannelException::class, $other)->amqp_reply_code, 404, 'reply code after the close');
}

function inequivalent_declare(Scope $scope): void
{
    $channel = $scope->channel();
    $scope->queue($channel, 'declared', ['x-max-length' => 5]);
    $scope->queue($channel, 'declared', ['x-max-length' => 5]);
    $other = fn () => $scope->queue($channel, 'declared', ['x-max-length' => 6]);
    $error = refusal(AMQPProtocolChannelException::class, $other);
    expect($error->amqp_reply_code, 406, 'reply code');
    expect(str_contains($error->amqp_reply_text, "inequivalent arg 'x-max-length' for queue"), true, 'reply text');
}

function consumer_cancel_notify(Scope $scope): void
{
    $channel = $scope->channel();
    $queue = $scope->queue($channel, 'doomed');
    $tag = $channel->basic_consume($queue, callback: fn () => null);
    $scope->channel()->queue_delete($queue);
    $cancelled = refusal(AMQPBasicCancelException::class, fn () => $channel->wait(null, false, PATIENCE));
    expect($cancelled->consumerTag, $tag, 'consumer');
}

function properties_round_trip(Scope $scope): void
{
    $channel = $scope->channel();
    $queue = $scope->queue($channel, 'properties');
    $headers = [
        'text' => 'grüße',
        'yes' => true,
        'small' => -7,
        'large' => 2 ** 40,
        'nothing' => null,
        'list' => [true, 'x', ['y' => 1]],
        'table' => ['deep' => ['deeper' => 'z']],
    ];
    $properties = [
        'content_type' => 'application/json',
        'content_encoding' => 'gzip',
        'delivery_mode' => 2,
        'priority' => 9,
        'correlation_id' => 'correlation',
        'reply_to' => 'reply',
        'expiration' => '60000',
        'message_id' => 'id',
        'timestamp' => 1700000000,
        'type' => 'kind',
        'user_id' => $scope->config()->getUser(),
        'app_id' => 'app',
        'cluster_id' => 'cluster',
    ];
    publish($channel, '', $queue, 'x', $properties + ['application_headers' => new AMQPTable($headers)]);
    [$message] = take($channel, $queue, 1);
    $received = $message->get_properties();
    $receivedHeaders = $received['application_headers']->getNativeData();
    unset($received['application_headers']);
    ksort($received);
    ksort($properties);
    ksort($headers);
    ksort($receivedHeaders);
    expect($received, $properties, 'properties');
    expect($receivedHeaders, $headers, 'headers');
}

runChecks($argv[1], [
    'connect_properties',
    'wrong_password',
    'amqplain',
    'publisher_confirms',
    'mandatory_return',
    'confirm_nack',
    'prefetch',
    'dead_letter_rejected',
    'requeue_redelivers',
    'channel_recovery',
    'connection_recovery',
    'direct_reply_to',
    'large_message',
    'batch_publish',
    'transaction',
    'routing',
    'laravel_delay_queue',
    'exclusive_queue',
    'inequivalent_declare',
    'consumer_cancel_notify',
    'properties_round_trip',
]);
