// Names the modules of the suite, so that their versions are written down in go.mod.
package suite

import (
	_ "github.com/michaelklishin/rabbit-hole/v3"
	_ "github.com/onsi/ginkgo/v2"
	_ "github.com/onsi/gomega"
	_ "github.com/rabbitmq/amqp091-go"
)
