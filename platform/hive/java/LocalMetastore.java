import java.net.InetSocketAddress;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hive.metastore.HiveMetaStore;
import org.apache.hadoop.hive.metastore.IHMSHandler;
import org.apache.hadoop.hive.metastore.RetryingHMSHandler;
import org.apache.hadoop.hive.metastore.TSetIpAddressProcessor;
import org.apache.hadoop.hive.metastore.api.Catalog;
import org.apache.hadoop.hive.metastore.api.CreateCatalogRequest;
import org.apache.hadoop.hive.metastore.conf.MetastoreConf;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.TTransportFactory;

/**
 * The Hive metastore on one address. The main of 3.1.3 listens on every interface whatever
 * metastore.thrift.bind.host says. Arguments: address, port, and name and location of each catalog
 * that shall be there beside the metastore's own.
 *
 * <p>LocalMetastore.class beside this file is this file compiled; the runtime that runs it has no
 * compiler. After a change: go generate ./hive, which needs javac.
 */
public class LocalMetastore {
  public static void main(String[] args) throws Exception {
    Configuration conf = MetastoreConf.newMetastoreConf();
    IHMSHandler handler =
        RetryingHMSHandler.getProxy(
            conf, new HiveMetaStore.HMSHandler("metastore", conf, false), false);
    for (int i = 2; i < args.length; i += 2) {
      if (!handler.get_catalogs().getNames().contains(args[i])) {
        handler.create_catalog(new CreateCatalogRequest(new Catalog(args[i], args[i + 1])));
      }
    }
    TServerSocket.ServerSocketTransportArgs socket = new TServerSocket.ServerSocketTransportArgs();
    socket.bindAddr(new InetSocketAddress(args[0], Integer.parseInt(args[1])));
    TThreadPoolServer.Args server = new TThreadPoolServer.Args(new TServerSocket(socket));
    server.processor(new TSetIpAddressProcessor<IHMSHandler>(handler));
    server.transportFactory(new TTransportFactory());
    server.protocolFactory(new TBinaryProtocol.Factory());
    server.minWorkerThreads(4);
    server.maxWorkerThreads(200);
    new TThreadPoolServer(server).serve();
  }
}
