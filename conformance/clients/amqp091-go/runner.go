// The runner: it runs checks one after the other, prints a line for each, and bounds its time.

package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	checkTime = 20 * time.Second
	patience  = 10 * time.Second
)

type check struct {
	name string
	run  func(*scope)
}

// failure is what a check panics with: it ends the check and nothing else.
type failure struct{ text string }

func fail(format string, arguments ...any) {
	panic(failure{fmt.Sprintf(format, arguments...)})
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func get[T any](value T, err error) T {
	must(err)
	return value
}

func expect(found, wanted any, what string) {
	if !reflect.DeepEqual(found, wanted) {
		fail("%s: got %#v, wanted %#v", what, found, wanted)
	}
}

// expectError fails the check unless err is the broker's, with this reply code and text.
func expectError(err error, code int, text string) {
	var reply *amqp.Error
	if !errors.As(err, &reply) {
		fail("got %v, wanted a %d", err, code)
	}
	expect(reply.Code, code, "reply code ("+reply.Reason+")")
	if !strings.Contains(reply.Reason, text) {
		fail("reply text %q lacks %q", reply.Reason, text)
	}
}

// next is what the channel yields within the patience of a check.
func next[T any](from <-chan T, what string) T {
	select {
	case value, open := <-from:
		if !open {
			fail("%s: the channel was closed", what)
		}
		return value
	case <-time.After(patience):
		fail("waited %v for %s", patience, what)
		panic("unreachable")
	}
}

func token() string {
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}

func runChecks(uri string, checks []check) {
	for _, check := range checks {
		outcome := make(chan string, 1)
		go func() { outcome <- runOne(uri, check) }()
		select {
		case line := <-outcome:
			fmt.Println(line)
		case <-time.After(checkTime):
			fmt.Printf("FAIL %s: not done within %v\n", check.name, checkTime)
		}
	}
	fmt.Println("end")
}

func runOne(uri string, check check) (line string) {
	scope := &scope{uri: uri, run: token()}
	defer func() {
		if cause := recover(); cause != nil {
			line = report(check.name, cause)
		}
	}()
	defer scope.close()
	check.run(scope)
	return "ok " + check.name
}

func report(name string, cause any) string {
	text := fmt.Sprint(cause)
	if failed, is := cause.(failure); is {
		text = failed.text
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 400 {
		text = text[:400]
	}
	return fmt.Sprintf("FAIL %s: %s", name, text)
}

// scope holds the connections of one check, and the names it declared.
type scope struct {
	uri         string
	run         string
	connections []*amqp.Connection
	queues      []string
	exchanges   []string
}

func (s *scope) connect() *amqp.Connection {
	return s.connectWith(amqp.Config{Heartbeat: 30 * time.Second, Locale: "en_US"})
}

func (s *scope) connectWith(config amqp.Config) *amqp.Connection {
	connection := get(amqp.DialConfig(s.uri, config))
	s.connections = append(s.connections, connection)
	return connection
}

func (s *scope) channel() *amqp.Channel { return get(s.connect().Channel()) }

func (s *scope) confirmChannel() *amqp.Channel {
	channel := s.channel()
	must(channel.Confirm(false))
	return channel
}

func (s *scope) name(suffix string) string { return "amqp091-go." + s.run + "." + suffix }

func (s *scope) queue(channel *amqp.Channel, suffix string, arguments amqp.Table) string {
	name := s.name(suffix)
	s.queues = append(s.queues, name)
	get(channel.QueueDeclare(name, true, false, false, false, arguments))
	return name
}

func (s *scope) exchange(channel *amqp.Channel, suffix, kind string, arguments amqp.Table) string {
	name := s.name(suffix)
	s.exchanges = append(s.exchanges, name)
	must(channel.ExchangeDeclare(name, kind, true, false, false, false, arguments))
	return name
}

func (s *scope) close() {
	for _, connection := range s.connections {
		if !connection.IsClosed() {
			must(connection.Close())
		}
	}
	connection := get(amqp.Dial(s.uri))
	defer connection.Close()
	channel := get(connection.Channel())
	for _, name := range s.queues {
		get(channel.QueueDelete(name, false, false, false))
	}
	for _, name := range s.exchanges {
		must(channel.ExchangeDelete(name, false, false))
	}
}
