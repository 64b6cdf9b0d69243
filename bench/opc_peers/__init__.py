"""What the benchmark `opc-server-peers` needs: servers, a Telegraf that counts, and their load."""
