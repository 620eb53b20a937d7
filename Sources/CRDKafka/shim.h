// librdkafka for Swift. Only what its headers do not import by themselves is wrapped here.
#pragma once
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
