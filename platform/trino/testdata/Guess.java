import io.trino.spi.security.AccessDeniedException;
import io.trino.spi.security.BasicPrincipal;
import io.trino.spi.security.PasswordAuthenticator;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Tries passwords on ThrottledPasswords by a clock of its own. Each line of the input is "SECOND NAME
 * PASSWORD", and gets a line of output: "in", or what was said. The password of NAME is
 * "right-NAME", until a line "passwd NAME PASSWORD". The line "together NAME N" has N different wrong passwords
 * tried at once, each of which is under way until all are or were refused, and tells how many came through.
 */
class Guess {
  public static void main(String[] args) throws Exception {
    Path path = Path.of(args[0]); // of the names
    AtomicLong now = new AtomicLong();
    AtomicInteger through = new AtomicInteger();
    CountDownLatch[] all = {new CountDownLatch(0)};
    String[] changed = {"", ""};
    PasswordAuthenticator file =
        (name, password) -> {
          through.incrementAndGet();
          all[0].countDown();
          try {
            all[0].await();
          } catch (InterruptedException e) {
            throw new IllegalStateException(e);
          }
          String right = name.equals(changed[0]) ? changed[1] : "right-" + name;
          try {
            if (!Files.readAllLines(path).contains(name + ":hash") || !password.equals(right)) {
              throw new AccessDeniedException("Invalid credentials");
            }
          } catch (IOException e) {
            throw new IllegalStateException(e);
          }
          return new BasicPrincipal(name);
        };
    PasswordAuthenticator throttled = new ThrottledPasswords(file, path, now::get);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] word = line.split(" ");
      switch (word[0]) {
        case "passwd" -> System.arraycopy(word, 1, changed, 0, 2);
        case "together" -> {
          int n = Integer.parseInt(word[2]);
          through.set(0);
          all[0] = new CountDownLatch(n);
          Thread[] threads = new Thread[n];
          for (int i = 0; i < n; i++) {
            String guess = "guess-" + i;
            threads[i] =
                Thread.ofPlatform()
                    .start(
                        () -> {
                          if (attempt(throttled, word[1], guess).contains("Too many")) {
                            all[0].countDown();
                          }
                        });
          }
          for (Thread thread : threads) {
            thread.join();
          }
          System.out.println(through.get());
        }
        default -> {
          now.set(Long.parseLong(word[0]) * 1_000_000_000);
          System.out.println(attempt(throttled, word[1], word[2]));
        }
      }
    }
  }

  private static String attempt(PasswordAuthenticator throttled, String name, String password) {
    try {
      return throttled.createAuthenticatedPrincipal(name, password).getName().equals(name) ? "in" : "in as another";
    } catch (AccessDeniedException e) {
      return e.getMessage();
    }
  }
}
