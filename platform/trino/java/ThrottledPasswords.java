import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.SECONDS;

import io.trino.spi.security.AccessDeniedException;
import io.trino.spi.security.PasswordAuthenticator;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.Principal;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import java.util.logging.Logger;
import java.util.stream.Collectors;

/**
 * Lets five new passwords a minute be tried for a name. New is what was not tried within that
 * minute and was not right the last time: a client that repeats a password which was changed does
 * not keep its person out, and somebody who guesses breaks nothing off that is logged in.
 *
 * <p>A log-in takes no guess back. Clients send their password with every request, so whoever
 * guesses while a query runs would have no limit.
 */
class ThrottledPasswords implements PasswordAuthenticator {
  private static final int LINES = 20; // of a name in a minute, so that nobody fills the disk
  private static final Logger LOG = Logger.getLogger(ThrottledPasswords.class.getName());

  private final PasswordAuthenticator file;
  private final Path path;
  private final LongSupplier clock; // nanoseconds
  private final byte[] salt = new byte[16];
  private final AtomicLong refused = new AtomicLong();
  // Of names in the file only, so that nobody can make it large. Another name opens nothing.
  private final Map<String, Tries> tries = new ConcurrentHashMap<>();
  private final Tries unknown = new Tries();
  private Set<String> names;
  private long namesRead;

  ThrottledPasswords(PasswordAuthenticator file, Path path, LongSupplier clock) {
    this.file = file;
    this.path = path;
    this.clock = clock;
    new SecureRandom().nextBytes(salt);
  }

  @Override
  public Principal createAuthenticatedPrincipal(String name, String password) {
    if (!names().contains(name)) {
      try {
        return file.createAuthenticatedPrincipal(name, password);
      } catch (AccessDeniedException e) {
        // Such a name may be a password in the wrong field.
        log(unknown, "(unknown)", "no such name");
        throw e;
      }
    }
    Tries t = tries.computeIfAbsent(name, n -> new Tries());
    String hash = hash(name, password);
    // Counted before it is known to be wrong: many at once are no more than one after the other.
    if (!t.admit(hash, clock.getAsLong())) {
      log(t, name, "too many wrong passwords");
      throw new AccessDeniedException(
          "Too many wrong passwords for " + name + ". Try again in a minute.");
    }
    try {
      Principal principal = file.createAuthenticatedPrincipal(name, password);
      t.right(hash);
      return principal;
    } catch (AccessDeniedException e) {
      // A client that repeats itself is listed once a minute.
      if (t.wrong(hash, clock.getAsLong())) {
        log(t, name, "wrong password");
      }
      throw e;
    }
  }

  /** Not read for every request; who was added is a guess without a limit for a second at most. */
  private synchronized Set<String> names() {
    long now = clock.getAsLong();
    if (names == null || now - namesRead >= SECONDS.toNanos(1)) {
      try {
        names =
            Files.readAllLines(path).stream()
                .map(line -> line.split(":", 2)[0].strip())
                .filter(name -> !name.isEmpty())
                .collect(Collectors.toUnmodifiableSet());
      } catch (IOException e) {
        throw new UncheckedIOException("read the names of the password file", e);
      }
      namesRead = now;
      tries.keySet().retainAll(names);
    }
    return names;
  }

  private String hash(String name, String password) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(salt);
      return HexFormat.of().formatHex(digest.digest((name + "\0" + password).getBytes(UTF_8)));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every Java has it
    }
  }

  /** The number makes each line another, whatever the time. */
  private void log(Tries t, String name, String why) {
    long number = refused.incrementAndGet();
    int line = t.line(clock.getAsLong());
    if (line <= LINES) {
      String more = line == LINES ? "; others of this minute are not listed" : "";
      LOG.warning("Refused log-in " + number + " of " + name + ": " + why + more);
    }
  }
}
