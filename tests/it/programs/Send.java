import jakarta.mail.*;
import jakarta.mail.internet.*;
import java.util.Properties;

/**
 * Sends mails within TLS, one to each server, and prints what came of it in a line: IDENTITY HOST PORT WAY PORT WAY... The trust
 * store is a property of the machine that runs it.
 */
public class Send {
    public static void main(String[] arguments) {
        for (int index = 2; index < arguments.length; index += 2) {
            String protocol = arguments[index + 1].equals("implicit") ? "smtps" : "smtp";
            Properties settings = new Properties();
            settings.put("mail." + protocol + ".host", arguments[1]);
            settings.put("mail." + protocol + ".port", arguments[index]);
            settings.put("mail." + protocol + ".starttls.enable", "true");
            settings.put("mail." + protocol + ".starttls.required", "true");
            settings.put("mail." + protocol + ".ssl.checkserveridentity", arguments[0]);
            System.out.println(send(Session.getInstance(settings), protocol));
        }
    }

    static String send(Session session, String protocol) {
        try (Transport transport = session.getTransport(protocol)) {
            transport.connect();
            MimeMessage message = new MimeMessage(session);
            message.setFrom(new InternetAddress("ann@example.com"));
            message.setRecipient(Message.RecipientType.TO, new InternetAddress("bob@example.com"));
            message.setSubject("hi");
            message.setText("hi\n");
            message.saveChanges();
            transport.sendMessage(message, message.getAllRecipients());
            return "sent";
        } catch (MessagingException error) {
            StringBuilder text = new StringBuilder("refused:");
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                text.append(" ").append(cause.toString().replace('\n', ' '));
            }
            return text.toString();
        }
    }
}
