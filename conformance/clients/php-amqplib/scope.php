<?php

/**
 * What every check needs: a runner that bounds and reports it, connections, and names that it removes. No promises here.
 */

declare(strict_types=1);

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AMQPConnectionConfig;
use PhpAmqpLib\Connection\AMQPConnectionFactory;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

const CHECK_SECONDS = 20;
const PATIENCE = 10;

/** The connections of one check, and the names it declared. */
final class Scope
{
    private string $run;
    /** @var AbstractConnection[] */
    private array $connections = [];
    /** @var string[] */
    private array $queues = [];
    /** @var string[] */
    private array $exchanges = [];

    public function __construct(private string $uri)
    {
        $this->run = bin2hex(random_bytes(4));
    }

    public function config(): AMQPConnectionConfig
    {
        $parts = parse_url($this->uri);
        $config = new AMQPConnectionConfig();
        $config->setHost($parts['host']);
        $config->setPort($parts['port'] ?? 5672);
        $config->setUser(urldecode($parts['user'] ?? 'guest'));
        $config->setPassword(urldecode($parts['pass'] ?? 'guest'));
        $path = urldecode(substr($parts['path'] ?? '/', 1));
        $config->setVhost($path === '' ? '/' : $path);
        $config->setHeartbeat(30);
        $config->setReadTimeout(PATIENCE);
        $config->setWriteTimeout(PATIENCE);
        $config->setChannelRPCTimeout(PATIENCE);
        return $config;
    }

    public function connect(?AMQPConnectionConfig $config = null): AbstractConnection
    {
        $connection = AMQPConnectionFactory::create($config ?? $this->config());
        $this->connections[] = $connection;
        return $connection;
    }

    public function channel(): AMQPChannel
    {
        return $this->connect()->channel();
    }

    public function confirmChannel(): AMQPChannel
    {
        $channel = $this->channel();
        $channel->confirm_select();
        return $channel;
    }

    public function name(string $suffix): string
    {
        return "php-amqplib.$this->run.$suffix";
    }

    public function queue(AMQPChannel $channel, string $suffix, array $arguments = []): string
    {
        $name = $this->name($suffix);
        $this->queues[] = $name;
        $channel->queue_declare($name, false, true, false, false, false, new AMQPTable($arguments));
        return $name;
    }

    public function exchange(AMQPChannel $channel, string $suffix, string $type): string
    {
        $name = $this->name($suffix);
        $this->exchanges[] = $name;
        $channel->exchange_declare($name, $type, false, true, false);
        return $name;
    }

    public function close(): void
    {
        foreach ($this->connections as $connection) {
            if ($connection->isConnected()) {
                $connection->close();
            }
        }
        $connection = AMQPConnectionFactory::create($this->config());
        $channel = $connection->channel();
        foreach ($this->queues as $name) {
            $channel->queue_delete($name);
        }
        foreach ($this->exchanges as $name) {
            $channel->exchange_delete($name);
        }
        $connection->close();
    }
}

function expect(mixed $found, mixed $wanted, string $what = 'value'): void
{
    if ($found !== $wanted) {
        $short = fn ($value) => mb_substr(json_encode($value, JSON_PARTIAL_OUTPUT_ON_ERROR) ?: '?', 0, 300);
        throw new RuntimeException("$what: got {$short($found)}, wanted {$short($wanted)}");
    }
}

/** Runs what must be refused, and gives the exception of that class. */
function refusal(string $class, callable $refused): Throwable
{
    try {
        $refused();
    } catch (Throwable $error) {
        if ($error instanceof $class) {
            return $error;
        }
        throw $error;
    }
    throw new RuntimeException("no $class");
}

function publish(AMQPChannel $channel, string $exchange, string $key, string $body, array $properties = []): void
{
    $channel->basic_publish(new AMQPMessage($body, $properties), $exchange, $key);
}

/**
 * The next messages of the queue, acknowledged.
 *
 * @return AMQPMessage[]
 */
function take(AMQPChannel $channel, string $queue, int $count): array
{
    $messages = [];
    $tag = $channel->basic_consume($queue, callback: function (AMQPMessage $message) use (&$messages) {
        $messages[] = $message;
    });
    while (count($messages) < $count) {
        $channel->wait(null, false, PATIENCE);
    }
    $channel->basic_cancel($tag);
    foreach ($messages as $message) {
        $message->ack();
    }
    expect(count($messages), $count, "messages from $queue");
    return $messages;
}

/** @return string[] */
function bodies(array $messages): array
{
    return array_map(fn (AMQPMessage $message) => $message->getBody(), $messages);
}

/** Handles what arrives, until nothing does for a fifth of a second. */
function settle(AMQPChannel $channel): void
{
    try {
        while (true) {
            $channel->wait(null, false, 0.2);
        }
    } catch (AMQPTimeoutException) {
    }
}

function nothingIn(AMQPChannel $channel, string $queue): void
{
    expect($channel->basic_get($queue, true), null, "message in $queue");
}

function temporaryQueue(AMQPChannel $channel): string
{
    return $channel->queue_declare('', false, false, true, false)[0];
}

/** Runs each function with a scope of its own, and prints a line for each. */
function runChecks(string $uri, array $checks): void
{
    pcntl_async_signals(true);
    pcntl_signal(SIGALRM, fn () => throw new RuntimeException('not done within ' . CHECK_SECONDS . ' s'));
    foreach ($checks as $check) {
        $scope = new Scope($uri);
        try {
            try {
                pcntl_alarm(CHECK_SECONDS);
                $check($scope);
            } finally {
                pcntl_alarm(CHECK_SECONDS);
                $scope->close();
                pcntl_alarm(0);
            }
            echo "ok $check\n";
        } catch (Throwable $error) {
            fwrite(STDERR, "$error\n");
            $reason = preg_replace('/\s+/', ' ', get_class($error) . ': ' . $error->getMessage());
            echo "FAIL $check: " . mb_substr($reason, 0, 400) . "\n";
        }
    }
    echo "end\n";
}
