# How long a client of Kafka looks for a broker before it says that there is none: 12 s. A killed Kafka
# is back in 7 s, and whoever is still looking finds it within 250 ms. After that word Telegraf pauses,
# 5 s as a consumer and 10 s as a producer, and by default (3 × 250 ms) it comes at once. It also holds
# up a start without a broker.
{
  metadata_retry_max = 48;
  metadata_retry_backoff = "250ms";
}
