"""The stream model: computes the declared models from the values on Kafka's topic `opc`."""
