// A plain Java consumer: kafka-clients and Jackson databind on one thread, no order to keep and no retries. Beside the consumer
// library in `scripts/bench consumer`.
//
//     java -cp 'KAFKA/libs/*' PlainConsumer.java BOOTSTRAP TOPIC PARTITIONS COUNT
//
// Reads COUNT events from the beginning and prints one line of JSON: seconds between the first record and the last, CPU seconds of
// the process in that time, records.
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class PlainConsumer {
    public static class Network {
        public String mcc, mnc;
    }

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class Raw {
        public String method, route, contentType, query, body;
    }

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class Event {
        public String id, idBasis, type, account, receivedAt, occurredAt, msisdn, batchId, messageId, reference, status, state;
        public Integer parts;
        public Network network;
        public Raw raw;
    }

    static double cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    public static void main(String[] arguments) throws Exception {
        long wanted = Long.parseLong(arguments[3]);
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("group.id", "bench-java");
        properties.put("enable.auto.commit", "false");
        properties.put("max.poll.records", "2000");
        ObjectReader reader = new ObjectMapper()
            .configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false).readerFor(Event.class);
        long count = 0, handled = 0;
        double began = 0, beganCPU = 0;
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (int i = 0; i < Integer.parseInt(arguments[2]); i++) partitions.add(new TopicPartition(arguments[1], i));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.nanoTime() + 120_000_000_000L;
            while (count < wanted && System.nanoTime() < deadline) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (count++ == 0) {
                        began = System.nanoTime() / 1e9;
                        beganCPU = cpu();
                    }
                    Event event = reader.readValue(record.value());
                    if (event.id != null) handled++;
                    if (count == wanted) break;
                }
            }
            System.out.printf(Locale.ROOT, "{\"seconds\": %f, \"cpu\": %f, \"records\": %d}%n",
                System.nanoTime() / 1e9 - began, cpu() - beganCPU, handled);
        }
        System.exit(handled == wanted ? 0 : 1);
    }
}
