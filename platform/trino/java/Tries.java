import static java.util.concurrent.TimeUnit.MINUTES;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** The passwords that were tried for one name, as hashes; times are nanoseconds. */
final class Tries {
  private static final int NEW = 5;
  private static final long MINUTE = MINUTES.toNanos(1);

  private String right; // the last that was
  private final Map<String, Long> tried = new HashMap<>(); // within a minute, and when
  private final Set<String> wrong = new HashSet<>(); // those of them that were
  private int lines;
  private long linesSince;

  /** Whether the password may be tried now. A new one is counted. */
  synchronized boolean admit(String hash, long now) {
    tried.values().removeIf(at -> now - at >= MINUTE);
    wrong.retainAll(tried.keySet());
    if (hash.equals(right) || tried.containsKey(hash)) {
      return true;
    }
    if (tried.size() >= NEW) {
      return false;
    }
    tried.put(hash, now);
    return true;
  }

  synchronized void right(String hash) {
    right = hash;
    tried.remove(hash);
  }

  /** Notes that a password was wrong, and tells whether that is news. */
  synchronized boolean wrong(String hash, long now) {
    if (hash.equals(right)) { // until it was changed
      right = null;
      tried.put(hash, now);
    }
    return wrong.add(hash);
  }

  /** Counts the lines that are logged of the name in a minute. */
  synchronized int line(long now) {
    if (lines == 0 || now - linesSince >= MINUTE) {
      linesSince = now;
      lines = 0;
    }
    return ++lines;
  }
}
